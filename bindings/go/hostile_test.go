// Tests of what goes wrong in programs: forgotten calls, types that do not fit, contexts that end
// at a bad moment.

package sidecall_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"sidecall.dev/sidecall"
)

func TestARowIsReadAfterTheModelWasClosed(t *testing.T) {
	model := open(t, "gbm.onnx")
	call, err := model.NewCall(1)
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	model.Close()
	if err := call.SetRowFloat64(0, nil, make([]float64, 30)); err != nil {
		t.Fatal(err)
	}
	if err := call.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if row, err := call.Row(0); err != nil || len(row) != 3 {
		t.Errorf("got %v, %v", row, err)
	}
}

func collectGarbage() {
	for range 5 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}

func TestForgottenCallsReleaseWhatTheyUse(t *testing.T) {
	model := open(t, "gbm.onnx")
	view := func() sidecall.View {
		bound, err := model.NewCall(1)
		if err != nil {
			t.Fatal(err)
		}
		if err := bound.BindInput(0, sidecall.NewTensor(make([]float32, 30), 1, 30)); err != nil {
			t.Fatal(err)
		}
		viewed, err := model.NewCall(1)
		if err != nil {
			t.Fatal(err)
		}
		view, err := viewed.Input(0)
		if err != nil {
			t.Fatal(err)
		}
		return view
	}()
	collectGarbage()
	elements, err := sidecall.Elements[float32](view)
	if err != nil || len(elements) != 30 {
		t.Fatalf("got %v, %v", elements, err)
	}
	elements[29] = 1
}

func TestAModelThatIsForgottenDuringARunAnswersIt(t *testing.T) {
	model, err := sidecall.Open(models+"/matmul.onnx", sidecall.WithMaxCalls(1))
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make(chan error)
	for range 2 {
		go func(model *sidecall.Model) {
			inputs := map[string]sidecall.Tensor{
				"a": sidecall.NewTensor(make([]float32, 400*400), 400, 400),
				"b": sidecall.NewTensor(make([]float32, 400*400), 400, 400),
			}
			_, err := model.Run(context.Background(), inputs)
			outcomes <- err
		}(model)
	}
	collectGarbage()
	for range 2 {
		if err := <-outcomes; err != nil {
			t.Error(err)
		}
	}
}

func TestStructsThatMeanTwoThingsAreRefused(t *testing.T) {
	type base struct {
		Year int `sidecall:"year"`
	}
	type Twice struct {
		First  int `sidecall:"year"`
		Second int `sidecall:"year"`
	}
	type Shadowed struct {
		base
		Year int `sidecall:"year"`
	}
	type Embedded struct {
		*base
	}
	type Time struct {
		time.Time
	}
	model := open(t, "penguins.onnx")
	_, twice := sidecall.NewPredictor[Twice, Species](model)
	_, shadowed := sidecall.NewPredictor[Shadowed, Species](model)
	_, embedded := sidecall.NewPredictor[Embedded, Species](model)
	_, embeddedTime := sidecall.NewPredictor[Time, Species](model)
	for i, err := range []error{twice, shadowed, embedded, embeddedTime} {
		if !errors.Is(err, sidecall.CodeInvalidArgument) {
			t.Errorf("type %d: got %v", i, err)
		}
	}
}

func TestAPointerThatLeadsToItselfIsRefused(t *testing.T) {
	model := open(t, "penguins.onnx")
	var endless any
	endless = &endless
	_, err := model.Predict(t.Context(), map[string]any{"year": endless})
	e := failure(t, err)
	if e.Code != sidecall.CodeDtypeMismatch || e.Got != "a pointer to a pointer" {
		t.Errorf("got %+v", e)
	}
}

func TestEmptyNamesAndTextsAreUnknownAndNotNULL(t *testing.T) {
	model := open(t, "penguins.onnx")
	if _, err := model.Feature(""); !errors.Is(err, sidecall.CodeUnknownName) {
		t.Errorf("got %v", err)
	}
	if _, err := model.PredictJSON(""); !errors.Is(err, sidecall.CodeInvalidJSON) {
		t.Errorf("got %v", err)
	}
	if _, err := sidecall.OpenBytes(nil); !errors.Is(err, sidecall.CodeFileInvalid) {
		t.Errorf("got %v", err)
	}
	_, err := model.Predict(t.Context(), map[string]any{"": 1})
	if !errors.Is(err, sidecall.CodeUnknownName) {
		t.Errorf("got %v", err)
	}
	call, err := model.NewCall(1)
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	err = call.SetFeatureFloat64(0, []float64{1}, []bool{true, false})
	if err == nil || err.Error() != "missing: expected 1 elements, got 2" {
		t.Errorf("got %v", err)
	}
}

func TestNaNIsAMissingDatetime(t *testing.T) {
	model := open(t, "dates.onnx")
	record := map[string]any{"seen": math.NaN(), "born": "2001-01-31",
		"due": "2001-01-31T12:30:00+01:00"}
	if _, err := model.Predict(t.Context(), record); err != nil {
		t.Error(err)
	}
	record["born"] = math.NaN()
	if _, err := model.Predict(t.Context(), record); !errors.Is(err, sidecall.CodeMissingValue) {
		t.Errorf("got %v", err)
	}
}

// Before a run has begun, cancelling it does nothing. The moment of the cancel moves through the
// first microseconds of the run.
func TestACancelAtAnyMomentEndsARun(t *testing.T) {
	model := open(t, "gbm.onnx")
	call, err := model.NewCall(1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	if err := writeZeros(call); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(i%60)*time.Microsecond, cancel)
		if err := call.Run(ctx); !errors.Is(err, sidecall.CodeCancelled) {
			t.Fatalf("cancel after %d us: got %v", i%60, err)
		}
	}
}

// panicking is a context that panics when it is asked for its deadline.
type panicking struct{ context.Context }

func (panicking) Deadline() (time.Time, bool) { panic("as the test wishes") }

func TestAContextThatPanicsTakesNoWorkspaceWithIt(t *testing.T) {
	model, err := sidecall.Open(models+"/penguins.onnx", sidecall.WithMaxCalls(1))
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	func() {
		defer func() {
			if reason := recover(); reason == nil || !strings.Contains(reason.(string), "wishes") {
				t.Errorf("expected the panic of the context, got %v", reason)
			}
		}()
		model.Predict(panicking{context.Background()}, nil)
	}()
	if _, err := model.Predict(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
