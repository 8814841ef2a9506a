// Tests of models that another process serves.

package sidecall_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
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

// Some of the runs wait on threads, and the others by the poller of Go.
func TestManyGoroutinesShareAServedModel(t *testing.T) {
	server := serve(t, models+"/penguins.onnx")
	model := connect(t, server.uri, sidecall.WithMaxCalls(64))
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
	server := serve(t, models+"/penguins.onnx")
	model := connect(t, server.uri)
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
	server := serve(t, models+"/penguins.onnx")
	model := connect(t, server.uri)
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
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				answer, err := sidecall.PredictAs[Penguin, Species](ctx, model, adelie())
				cancel()
				if err == nil && answer.Adelie != wanted.Adelie {
					t.Errorf("got %v", answer)
				} else if err != nil && !errors.Is(err, sidecall.CodePeerDied) &&
					!errors.Is(err, sidecall.CodeUnreachable) {
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
	if _, err := model.Predict(t.Context(), nil); err != nil {
		t.Error(err)
	}
	process.Process.Kill()
	process.Wait()
}
