// Tests of opening, of tensors, and of calls that set and read columns.

package sidecall_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"sidecall.dev/sidecall"
)

func TestFilesThatCannotBeOpenedAreRefusedWithTheirReason(t *testing.T) {
	for uri, code := range map[string]sidecall.Code{
		"/nowhere/fraud.onnx":          sidecall.CodeFileNotFound,
		"a\x00b":                       sidecall.CodeInvalidArgument,
		"exec:true":                    sidecall.CodeInvalidArgument,
		"shm:/tmp/without-server.sock": sidecall.CodeUnreachable,
	} {
		model, err := sidecall.Open(uri)
		if model != nil || !errors.Is(err, code) {
			t.Errorf("%q: expected %v, got %v", uri, code, err)
		}
	}
	_, err := sidecall.Open("/nowhere/fraud.onnx")
	e := failure(t, err)
	if e.Family() != sidecall.FamilyFile || !strings.Contains(e.Message, "/nowhere/fraud.onnx") ||
		!errors.Is(err, fs.ErrNotExist) || e.Row != -1 {
		t.Errorf("got %+v", e)
	}
	if _, err := sidecall.OpenBytes([]byte("not a model")); !errors.Is(err, sidecall.CodeFileInvalid) {
		t.Errorf("got %v", err)
	}
	if _, err := sidecall.OpenBytes(nil); err == nil {
		t.Error("no bytes are not a model")
	}
}

func TestAModelTellsWhatItIs(t *testing.T) {
	model := open(t, "penguins.onnx")
	if !strings.HasPrefix(model.Engine(), "native") || model.EngineReason() == "" ||
		len(model.ID()) != 64 || model.Warning() != "" || model.Contract()[0] != '{' ||
		model.Name() == "" || model.Version() == "" {
		t.Errorf("got %s, %s, %s", model.Engine(), model.ID(), model.Warning())
	}
	report, err := model.Verify()
	if err != nil || !strings.Contains(report, `"holds":true`) {
		t.Errorf("got %s, %v", report, err)
	}
	if features := model.Features(); len(features) != 7 || features[0].Name == "" {
		t.Errorf("got %+v", features)
	}
	found := false
	for _, column := range model.Columns() {
		found = found || reflect.DeepEqual(column, sidecall.ColumnSpec{Name: "probabilities.Adelie",
			Output: "probabilities", Key: "Adelie", Dtype: column.Dtype, Form: sidecall.FormMember})
	}
	if !found || !model.Outputs()[0].HasRows || len(model.Inputs()) == 0 {
		t.Errorf("got %+v", model.Columns())
	}
	data, err := os.ReadFile(models + "/penguins.onnx")
	if err != nil {
		t.Fatal(err)
	}
	same, err := sidecall.OpenBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	if same.ID() != model.ID() {
		t.Error("the same bytes have the same id")
	}
	if sidecall.Version() == "" || sidecall.Float32.String() != "float32" ||
		sidecall.Int4.Bits() != 4 {
		t.Error("version and types have names")
	}
}

func TestAClosedModelIsRefusedAndItsCallsStayUsable(t *testing.T) {
	model := open(t, "gbm.onnx")
	call, err := model.NewCall(1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := model.PredictJSON(`{}`); !errors.Is(err, sidecall.CodeMissingValue) {
		t.Errorf("got %v", err)
	}
	model.Close()
	model.Close()
	for _, err := range []error{
		func() error { _, err := model.Predict(t.Context(), nil); return err }(),
		func() error { _, err := model.PredictJSON(`{}`); return err }(),
		func() error { _, err := model.NewCall(1); return err }(),
		func() error { _, err := model.Feature("x0"); return err }(),
		func() error { _, err := model.Verify(); return err }(),
	} {
		e := failure(t, err)
		if e.Code != sidecall.CodeInvalidArgument || !strings.Contains(e.Message, "closed") {
			t.Errorf("got %v", err)
		}
	}
	if model.Name() != "" || model.Columns() != nil {
		t.Error("a closed model has no name and no columns")
	}
	values := make([]float64, 30)
	if err := call.SetRowFloat64(0, nil, values); err != nil {
		t.Error(err)
	}
	if err := call.Run(t.Context()); err != nil {
		t.Error(err)
	}
	call.Close()
	call.Close()
}

func TestTensorsAreCopiedBoundOrWrittenInPlace(t *testing.T) {
	model := open(t, "matmul.onnx")
	a := sidecall.NewTensor([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	b := sidecall.NewTensor([]float32{1, 0, 0, 1}, 2, 2)
	outputs, err := model.Run(t.Context(), map[string]sidecall.Tensor{"a": a, "b": b})
	if err != nil || !reflect.DeepEqual(outputs["y"].Data, a.Data) ||
		!reflect.DeepEqual(outputs["y"].Shape, a.Shape) {
		t.Fatalf("got %v, %v", outputs, err)
	}
	call, err := model.NewCall(1)
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	first, _ := model.Input("a")
	second, _ := model.Input("b")
	result, _ := model.Output("y")
	if view, err := call.Output(result); err != nil || view.Bytes() != nil {
		t.Errorf("an output before a run has no memory: %v, %v", view, err)
	} else if _, err := sidecall.Elements[float32](view); !errors.Is(err, sidecall.CodeNotRun) {
		t.Errorf("got %v", err)
	}
	memory := []float32{1, 2, 3, 4, 5, 6}
	if err := call.BindInput(first, sidecall.NewTensor(memory, 3, 2)); err != nil {
		t.Fatal(err)
	}
	if err := call.Reshape(second, 2, 2); err != nil {
		t.Fatal(err)
	}
	view, err := call.Input(second)
	if err != nil {
		t.Fatal(err)
	}
	elements, err := sidecall.Elements[float32](view)
	if err != nil {
		t.Fatal(err)
	}
	copy(elements, []float32{2, 0, 0, 2})
	for _, factor := range []float32{1, 10} {
		for i := range memory {
			memory[i] = factor * float32(i)
		}
		runtime.GC()
		if err := call.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		view, err := call.Output(result)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sidecall.Elements[float32](view)
		if err != nil || got[5] != 2*factor*5 {
			t.Errorf("got %v, %v", got, err)
		}
		if _, err := sidecall.Elements[float64](view); !errors.Is(err, sidecall.CodeDtypeMismatch) {
			t.Errorf("got %v", err)
		}
	}
	err = call.CopyInput(first, sidecall.NewTensor([]int64{1}, 1, 1))
	if !errors.Is(err, sidecall.CodeDtypeMismatch) {
		t.Errorf("got %v", err)
	}
	broken := func(data any) sidecall.Tensor {
		return sidecall.Tensor{Dtype: sidecall.Float32, Shape: []int64{1}, Data: data}
	}
	for _, c := range []struct {
		tensor sidecall.Tensor
		code   sidecall.Code
	}{
		{broken([]string{"a"}), sidecall.CodeInvalidArgument},
		{broken([]float64{1}), sidecall.CodeInvalidArgument},
		{broken(1), sidecall.CodeInvalidArgument},
		{sidecall.NewTensor([]float32{1, 2}, 3, 2), sidecall.CodeShapeMismatch},
		{sidecall.NewTensor([]float32{1, 2}), sidecall.CodeShapeMismatch},
		{sidecall.NewTensor([]float32{1, 2}, -1, 2), sidecall.CodeShapeMismatch},
	} {
		if err := call.CopyInput(first, c.tensor); !errors.Is(err, c.code) {
			t.Errorf("%v: expected %v, got %v", c.tensor, c.code, err)
		}
	}
	_, err = model.Run(t.Context(), map[string]sidecall.Tensor{"a": a, "c": b})
	if !errors.Is(err, sidecall.CodeUnknownName) {
		t.Errorf("got %v", err)
	}
	_, err = model.Run(t.Context(), map[string]sidecall.Tensor{"a": a})
	if !errors.Is(err, sidecall.CodeMissingInput) {
		t.Errorf("got %v", err)
	}
}

func TestStringsAreCopiedAndRead(t *testing.T) {
	model := open(t, "identity_string.onnx")
	given := sidecall.NewTensor([]string{"a", "", "größe"}, 3)
	outputs, err := model.Run(t.Context(), map[string]sidecall.Tensor{"x": given})
	if err != nil || !reflect.DeepEqual(outputs["y"], given) {
		t.Errorf("got %v, %v", outputs, err)
	}
	empty := sidecall.NewTensor([]string{}, 0)
	_, err = model.Run(t.Context(), map[string]sidecall.Tensor{"x": empty})
	if !errors.Is(err, sidecall.CodeShapeMismatch) {
		t.Errorf("got %v", err)
	}
	bad := sidecall.NewTensor([]string{"a", "\xff"}, 2)
	_, err = model.Run(t.Context(), map[string]sidecall.Tensor{"x": bad})
	if !errors.Is(err, sidecall.CodeInvalidString) {
		t.Errorf("got %v", err)
	}
}

func TestATableIsSetAndReadByColumns(t *testing.T) {
	model := open(t, "penguins.onnx")
	call, err := model.NewCall(2)
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	feature := func(name string) sidecall.Feature {
		index, err := model.Feature(name)
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	label, _ := model.Column("label")
	adelie, _ := model.Column("probabilities.Adelie")
	if err := call.Clear(); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Float64(0, adelie); !errors.Is(err, sidecall.CodeNotRun) {
		t.Errorf("got %v", err)
	}
	for _, err := range []error{
		call.SetFeatureFloat64(feature("bill_length_mm"), []float64{39.1, 50}, nil),
		call.SetFeatureFloat64(feature("bill_depth_mm"), []float64{18.7, 0}, []bool{false, true}),
		call.SetFeatureText(feature("island"), []string{"Torgersen", "Biscoe"}, nil),
		call.SetText(1, feature("sex"), "female"),
		call.SetMissing(0, feature("sex")),
		call.Run(t.Context()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	column := make([]float64, 2)
	if err := call.ColumnFloat64(adelie, column); err != nil {
		t.Fatal(err)
	}
	for row := range column {
		single, err := call.Float64(row, adelie)
		if err != nil || single != column[row] {
			t.Errorf("got %v, %v", single, err)
		}
		text, err := call.Text(row, label)
		all, rowErr := call.Row(row)
		if err != nil || rowErr != nil || all[label] != text || all[adelie] != single {
			t.Errorf("got %v, %v, %v, %v", text, all, err, rowErr)
		}
		one := make([]float64, 1)
		if err := call.RowFloat64(row, []sidecall.Column{adelie}, one); err != nil || one[0] != single {
			t.Errorf("got %v, %v", one, err)
		}
	}
	for name, err := range map[string]error{
		"another number of values": call.SetFeatureFloat64(feature("body_mass_g"), []float64{1}, nil),
		"another number of flags": call.SetFeatureFloat64(feature("body_mass_g"), []float64{1, 2},
			[]bool{true}),
		"a column of another size": call.ColumnFloat64(adelie, make([]float64, 3)),
		"another number of features": call.SetRowFloat64(0, []sidecall.Feature{0},
			[]float64{1, 2}),
		"a row that is not there": call.SetFloat64(2, feature("body_mass_g"), 1),
	} {
		if !errors.Is(err, sidecall.CodeInvalidArgument) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := call.SetFloat64(0, -1, 1); !errors.Is(err, sidecall.CodeUnknownName) {
		t.Errorf("got %v", err)
	}
	_, err = call.Text(0, adelie)
	if !errors.Is(err, sidecall.CodeDtypeMismatch) && !errors.Is(err, sidecall.CodeNotRun) {
		t.Errorf("got %v", err)
	}
}

func TestEachKindOfValueIsSetByItsFunction(t *testing.T) {
	model := open(t, "kinds.onnx")
	call, err := model.NewCall(1)
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	values := []any{0.5, 0.25, 4, true, "b", 0.5, 0.25, 4, true, "b"}
	if err := call.SetRow(0, values); err != nil {
		t.Fatal(err)
	}
	if err := call.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	atOnce, err := call.Row(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Clear(); err != nil {
		t.Fatal(err)
	}
	for i, value := range values {
		feature := sidecall.Feature(i)
		switch x := value.(type) {
		case float64:
			err = call.SetFloat64(0, feature, x)
		case int:
			err = call.SetInt64(0, feature, int64(x))
		case bool:
			err = call.SetBool(0, feature, x)
		case string:
			err = call.SetText(0, feature, x)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := call.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	oneByOne, err := call.Row(0)
	if err != nil || fmt.Sprint(oneByOne) != fmt.Sprint(atOnce) {
		t.Errorf("got %v and %v, %v", atOnce, oneByOne, err)
	}
	if err := call.SetRow(0, values[1:]); !errors.Is(err, sidecall.CodeInvalidArgument) {
		t.Errorf("got %v", err)
	}
}
