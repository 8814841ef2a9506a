// Tests of how programs end, of signals, of memory, and of garbage collection during runs.

package sidecall_test

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"

	"sidecall.dev/sidecall"
)

// The test program runs itself again for tests of how a program ends.
func TestMain(m *testing.M) {
	if way := os.Getenv("SIDECALL_TEST_END"); way != "" {
		endProgram(way)
		return
	}
	os.Exit(m.Run())
}

// endProgram starts runs that take long, and ends the program in one way.
func endProgram(way string) {
	model, err := sidecall.Open(models + "/gbm.onnx")
	if err != nil {
		panic(err)
	}
	for range 4 {
		call, err := model.NewCall(1_000_000)
		if err != nil {
			panic(err)
		}
		if err := writeZeros(call); err != nil {
			panic(err)
		}
		go func() {
			for {
				call.Run(context.Background())
			}
		}()
	}
	time.Sleep(20 * time.Millisecond)
	switch way {
	case "return":
	case "exit":
		os.Exit(3)
	case "panic":
		panic("as the test wishes")
	case "close":
		model.Close()
	case "interrupt", "terminate":
		numbers := map[string]syscall.Signal{
			"interrupt": syscall.SIGINT,
			"terminate": syscall.SIGTERM,
		}
		syscall.Kill(os.Getpid(), numbers[way])
		time.Sleep(time.Minute)
	}
}

func TestAProgramEndsWhileRunsAreUnderWay(t *testing.T) {
	for way, wanted := range map[string]string{
		"return": "exit status 0", "close": "exit status 0", "exit": "exit status 3",
		"panic": "exit status 2", "interrupt": "signal: interrupt", "terminate": "signal: terminated",
	} {
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			command := exec.CommandContext(ctx, os.Args[0])
			command.Env = append(os.Environ(), "SIDECALL_TEST_END="+way)
			output, err := command.CombinedOutput()
			cancel()
			if got := command.ProcessState.String(); got != wanted {
				t.Fatalf("%s: expected %s, got %s, %v\n%s", way, wanted, got, err, output)
			}
		}
	}
}

func TestTheSignalHandlersOfGoStay(t *testing.T) {
	model := open(t, "penguins.onnx")
	if _, err := model.Predict(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGUSR1)
	defer signal.Stop(received)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	select {
	case <-received:
	case <-time.After(10 * time.Second):
		t.Error("the signal did not arrive")
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a nil pointer panics")
			}
		}()
		var nothing *sidecall.Error
		_ = nothing.Message
	}()
}

// openMany opens, uses and leaves models, and returns how much the memory of the process grew over
// the second half.
func openMany(t *testing.T, count int, leave func(*sidecall.Model)) int {
	middle := 0
	for i := range count {
		if i == count/2 {
			middle = countOf(t, "VmRSS")
		}
		model, err := sidecall.Open(models+"/kinds.onnx", sidecall.WithEngine(sidecall.EngineNative))
		if err != nil {
			t.Fatal(err)
		}
		record := map[string]any{"f32_must": 1, "f64_must": 2, "i64_must": 3, "flag_must": false,
			"word_must": "b"}
		if _, err := model.Predict(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		leave(model)
	}
	return countOf(t, "VmRSS") - middle
}

func TestMemoryStaysFlatOverManyOpens(t *testing.T) {
	if grown := openMany(t, 10_000, func(m *sidecall.Model) { m.Close() }); grown > 10_000 {
		t.Errorf("5000 models that were closed left %d KB", grown)
	}
	forgotten := func(*sidecall.Model) {
		runtime.GC()
	}
	if grown := openMany(t, 1000, forgotten); grown > 10_000 {
		t.Errorf("500 models that were forgotten left %d KB", grown)
	}
}

func TestGarbageIsCollectedWhileRunsAreUnderWay(t *testing.T) {
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	for range 50 {
		model := open(t, "gbm.onnx")
		call, err := model.NewCall(1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeZeros(call); err != nil {
			t.Fatal(err)
		}
		if err := call.Run(t.Context()); err != nil { // neither is used afterwards
			t.Fatal(err)
		}
		if _, err := model.PredictMany(t.Context(), make([]map[string]any, 3)); err == nil {
			t.Fatal("features are missing")
		}
	}
	close(stop)
	<-done
}
