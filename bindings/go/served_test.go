// Tests of models that another process serves, over each route.

package sidecall_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sidecall.dev/sidecall"
)

func connect(t testing.TB, uri string, opts ...sidecall.Option) *sidecall.Model {
	t.Helper()
	model, err := sidecall.Open(uri, append(opts, sidecall.WithWait(20*time.Second))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { model.Close() })
	return model
}

// overEachRoute runs a test with a server and the address of its model.
func overEachRoute(t *testing.T, test func(t *testing.T, server *server, uri string)) {
	for _, route := range []string{"shm", "http", "grpc"} {
		t.Run(route, func(t *testing.T) {
			server := serve(t, models+"/penguins.onnx")
			uri := map[string]string{"shm": server.uri, "http": server.http, "grpc": server.grpc}
			test(t, server, uri[route])
		})
	}
}

func TestManyGoroutinesShareAServedModel(t *testing.T) {
	overEachRoute(t, shareModel)
}

func shareModel(t *testing.T, _ *server, uri string) {
	model := connect(t, uri, sidecall.WithMaxCalls(64))
	wanted, err := sidecall.PredictAs[Penguin, Species](t.Context(), model, adelie())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 1000 {
		group.Add(1)
		go func() {
			defer group.Done()
			ctx := t.Context()
			if i%3 == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Minute)
				defer cancel()
			}
			for range 5 {
				answer, err := sidecall.PredictAs[Penguin, Species](ctx, model, adelie())
				if err != nil || answer.Adelie != wanted.Adelie || answer.Label != wanted.Label {
					t.Errorf("got %v, %v", answer, err)
				}
			}
			many, err := sidecall.PredictManyAs[Penguin, Species](ctx, model, []Penguin{adelie(), adelie()})
			if err != nil || many[1].Adelie != wanted.Adelie {
				t.Errorf("got %v, %v", many, err)
			}
			_, err = model.Predict(ctx, map[string]any{"island": 1})
			if !errors.Is(err, sidecall.CodeDtypeMismatch) {
				t.Errorf("got %v", err)
			}
		}()
	}
	group.Wait()
}

// freeze stops all threads of the server.
func (s *server) freeze(t *testing.T) {
	s.process.Process.Signal(syscall.SIGSTOP)
	tasks := fmt.Sprintf("/proc/%d/task", s.process.Process.Pid)
	threads, err := os.ReadDir(tasks)
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		for {
			stat, err := os.ReadFile(tasks + "/" + thread.Name() + "/stat")
			if err != nil || strings.Contains(string(stat), ") T ") {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func TestAFrozenServerHoldsNoCallBeyondItsContext(t *testing.T) {
	overEachRoute(t, endRunsOfFrozenServer)
}

func endRunsOfFrozenServer(t *testing.T, server *server, uri string) {
	model := connect(t, uri)
	if _, err := model.Predict(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	server.freeze(t)
	defer server.process.Process.Signal(syscall.SIGCONT)
	var group sync.WaitGroup
	for i := range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			wanted := sidecall.CodeTimeout
			if i%2 == 0 {
				cancel()
				ctx, cancel = context.WithCancel(t.Context())
				wanted = sidecall.CodeCancelled
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			defer cancel()
			_, err := model.Predict(ctx, nil)
			// A new connection that the frozen server does not accept is not a run to cancel.
			if !errors.Is(err, wanted) && !errors.Is(err, sidecall.CodeUnreachable) {
				t.Errorf("expected %v, got %v", wanted, err)
			}
		}()
	}
	group.Wait()
	late, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := model.Predict(late, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("expected the deadline of the context, got %v", err)
	}
	why := errors.New("no longer needed")
	cancelled, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := model.Predict(cancelled, nil); !errors.Is(err, why) {
		t.Errorf("expected the cause of the context, got %v", err)
	}
	server.process.Process.Signal(syscall.SIGCONT)
	if _, err := model.Predict(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestEveryCallHasOneOutcomeWhenTheServerIsKilled(t *testing.T) {
	overEachRoute(t, killServer)
}

func killServer(t *testing.T, server *server, uri string) {
	model := connect(t, uri)
	wanted, err := sidecall.PredictAs[Penguin, Species](t.Context(), model, adelie())
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(3 * time.Second)
	var group sync.WaitGroup
	for range 16 {
		group.Add(1)
		go func() {
			defer group.Done()
			for time.Now().Before(end) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				answer, err := sidecall.PredictAs[Penguin, Species](ctx, model, adelie())
				cancel()
				if err == nil && answer.Adelie != wanted.Adelie {
					t.Errorf("got %v", answer)
				} else if err != nil && !errors.Is(err, sidecall.CodePeerDied) &&
					!errors.Is(err, sidecall.CodeUnreachable) &&
					// Over the network, the end of a server is not always noticed.
					(uri == server.uri || !errors.Is(err, sidecall.CodeTimeout)) {
					t.Errorf("got %v", err)
				}
			}
		}()
	}
	process := server.process
	for time.Now().Before(end) {
		time.Sleep(200 * time.Millisecond)
		process.Process.Kill()
		process.Wait()
		process = exec.Command(process.Path, process.Args[1:]...)
		process.Env = server.process.Env
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
	_, err = model.Predict(t.Context(), nil)
	// Only over shared memory does a run wait for a server that starts.
	for end := time.Now().Add(20 * time.Second); uri != server.uri && time.Now().Before(end) &&
		errors.Is(err, sidecall.CodeUnreachable); time.Sleep(10 * time.Millisecond) {
		_, err = model.Predict(t.Context(), nil)
	}
	if err != nil {
		t.Error(err)
	}
	process.Process.Kill()
	process.Wait()
}

// countOf returns a number of this process, such as that of its threads.
func countOf(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var count int
		if n, _ := fmt.Sscanf(line, name+": %d", &count); n == 1 {
			return count
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

func TestRunsThatWaitNeedNoThreadsOfTheirOwn(t *testing.T) {
	overEachRoute(t, func(t *testing.T, server *server, uri string) {
		model := connect(t, uri)
		if _, err := model.Predict(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		server.freeze(t)
		threads, goroutines := countOf(t, "Threads"), runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 100 {
			group.Add(1)
			go func() {
				defer group.Done()
				if _, err := model.Predict(ctx, nil); err == nil {
					t.Error("a frozen server answers")
				}
			}()
		}
		time.Sleep(300 * time.Millisecond)
		if now := countOf(t, "Threads"); now > threads+20 {
			t.Errorf("100 runs that wait need %d threads more", now-threads)
		}
		cancel()
		group.Wait()
		server.process.Process.Signal(syscall.SIGCONT)
		if _, err := model.Predict(t.Context(), nil); err != nil {
			t.Error(err)
		}
		for range 1000 {
			if runtime.NumGoroutine() <= goroutines {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d goroutines are left", runtime.NumGoroutine()-goroutines)
	})
}

// A hostile context panics in one of its functions, after some calls of it.
type hostile struct {
	context.Context
	which string
	left  *atomic.Int32
}

func (h hostile) count(which string) {
	if h.which == which && h.left.Add(-1) < 0 {
		panic("as the test wishes")
	}
}

func (h hostile) Deadline() (time.Time, bool) { h.count("Deadline"); return h.Context.Deadline() }
func (h hostile) Done() <-chan struct{}       { h.count("Done"); return h.Context.Done() }
func (h hostile) Err() error                  { h.count("Err"); return h.Context.Err() }

func TestAContextThatPanicsHarmsNoOtherRun(t *testing.T) {
	overEachRoute(t, func(t *testing.T, _ *server, uri string) {
		model := connect(t, uri, sidecall.WithMaxCalls(8))
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var group sync.WaitGroup
		var panics atomic.Int32
		for i := range 300 {
			group.Add(1)
			go func() {
				defer group.Done()
				mine := ctx
				record := map[string]any{}
				if i%2 == 0 {
					left := &atomic.Int32{}
					left.Store(int32(i / 6 % 4))
					mine = hostile{ctx, []string{"Deadline", "Done", "Err"}[i/2%3], left}
					record["island"] = 1 // so that the context is asked why the run failed
					defer func() {
						if recover() != nil {
							panics.Add(1)
						}
					}()
				}
				_, err := model.Predict(mine, record)
				if i%2 != 0 && err != nil {
					t.Error(err)
				}
			}()
		}
		group.Wait()
		if panics.Load() < 50 {
			t.Errorf("%d contexts panicked", panics.Load())
		}
		for range 8 { // every place is free
			late, stop := context.WithTimeout(context.Background(), 10*time.Second)
			defer stop()
			if _, err := model.Predict(late, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRunsBeyondTheLimitWaitForTheirTurn(t *testing.T) {
	server := serve(t, models+"/penguins.onnx")
	model := connect(t, server.uri, sidecall.WithMaxCalls(1))
	if _, err := model.Predict(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	server.freeze(t)
	ctx, cancel := context.WithCancel(t.Context())
	outcomes := make(chan error)
	run := func(ctx context.Context) {
		_, err := model.Predict(ctx, nil)
		outcomes <- err
	}
	go run(ctx)
	time.Sleep(50 * time.Millisecond)
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	go run(short)
	if err := <-outcomes; !errors.Is(err, sidecall.CodeTimeout) ||
		!strings.Contains(err.Error(), "before the run began") {
		t.Errorf("got %v", err)
	}
	go run(t.Context())
	time.Sleep(20 * time.Millisecond)
	model.Close()
	if err := <-outcomes; err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-outcomes; !errors.Is(err, sidecall.CodeCancelled) {
		t.Errorf("got %v", err)
	}
}

// test: is a folder of engines/ that only test builds have, and that no language knows.
func TestANewRouteNeedsNothingFromThisPackage(t *testing.T) {
	open := func(uri string) *sidecall.Model {
		model, err := sidecall.Open(uri)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { model.Close() })
		return model
	}
	model := open("test:double?open_ms=10&run_ms=20")
	var group sync.WaitGroup
	for i := range 40 {
		group.Add(1)
		go func() {
			defer group.Done()
			x := sidecall.NewTensor([]float32{float32(i)}, 1)
			outputs, err := model.Run(t.Context(), map[string]sidecall.Tensor{"x": x})
			if err != nil || !reflect.DeepEqual(outputs["y"].Data, []float32{2 * float32(i)}) {
				t.Errorf("%d: got %v, %v", i, outputs, err)
			}
		}()
	}
	group.Wait()
	late, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err := open("test:double?run_ms=60000").Run(late,
		map[string]sidecall.Tensor{"x": sidecall.NewTensor([]float32{1}, 1)})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("expected the deadline of the context, got %v", err)
	}
	if _, err := sidecall.Open("test:triple"); !errors.Is(err, sidecall.CodeInvalidArgument) {
		t.Errorf("got %v", err)
	}
}
