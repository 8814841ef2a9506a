// Runs the cases that all languages share.

package sidecall_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"sidecall.dev/sidecall"
)

// The cases of tests/vectors run in process, on the engine that sidecall chooses and on the native
// engine, and over shm:, http: and grpc:. tests/vectors/README.md has the rules.

// vector is one case.
type vector struct {
	Name  string
	Model string
	Open  struct {
		As, Verify, Extra string
		URI               *string
	}

	Inputs members[tensor]
	Record json.RawMessage
	JSON   json.RawMessage

	Outputs      members[tensor]
	Result       json.RawMessage
	Tolerance    float64
	ExpectStatus string         `json:"expect_status"`
	ExpectError  map[string]any `json:"expect_error"`
	After        string
}

// tensor is a tensor of a case.
type tensor struct {
	Dtype string
	Shape []int64
	Data  []any
	Raw   bool
}

func (t tensor) given() sidecall.Tensor {
	dtype := dtypeOf(t.Dtype)
	switch dtype {
	case sidecall.Float32:
		narrow := func(x any) float32 { return float32(real(x)) }
		return sidecall.NewTensor(convert(t.Data, narrow), t.Shape...)
	case sidecall.Float64:
		return sidecall.NewTensor(convert(t.Data, real), t.Shape...)
	case sidecall.Bool:
		return sidecall.NewTensor(convert(t.Data, func(x any) bool { return x.(bool) }), t.Shape...)
	case sidecall.String:
		return sidecall.NewTensor(convert(t.Data, text), t.Shape...)
	}
	width := max((dtype.Bits()+7)/8, 1)
	var all []byte
	for _, x := range t.Data {
		var number uint64
		if whole, err := x.(json.Number).Int64(); err == nil {
			number = uint64(whole)
		} else if _, err := fmt.Sscan(x.(json.Number).String(), &number); err != nil {
			panic(err)
		}
		all = append(all, binary.LittleEndian.AppendUint64(nil, number)[:width]...)
	}
	return sidecall.Tensor{Dtype: dtype, Shape: t.Shape, Data: all}
}

func (t tensor) compare(got sidecall.View, tolerance float64) string {
	wanted := t.given()
	if wanted.Dtype != got.Dtype() || fmt.Sprint(t.Shape) != fmt.Sprint(got.Shape()) {
		return fmt.Sprintf("got %s %v", got.Dtype(), got.Shape())
	}
	switch data := wanted.Data.(type) {
	case []float32:
		found, _ := sidecall.Elements[float32](got)
		for i := range data {
			if !near(float64(found[i]), float64(data[i]), tolerance) {
				return fmt.Sprintf("element %d is %v", i, found[i])
			}
		}
	case []float64:
		found, _ := sidecall.Elements[float64](got)
		for i := range data {
			if !near(found[i], data[i], tolerance) {
				return fmt.Sprintf("element %d is %v", i, found[i])
			}
		}
	case []byte:
		if !bytes.Equal(data, got.Bytes()) {
			return fmt.Sprintf("got %v", got.Bytes())
		}
	default:
		if found := got.Tensor().Data; !reflect.DeepEqual(found, data) {
			return fmt.Sprintf("got %v", found)
		}
	}
	return ""
}

func convert[T any](data []any, f func(any) T) []T {
	all := make([]T, 0, len(data))
	for _, x := range data {
		all = append(all, f(x))
	}
	return all
}

// real reads a number of a case.
func real(x any) float64 {
	switch word := x.(type) {
	case string:
		return map[string]float64{"nan": math.NaN(), "inf": math.Inf(1), "-inf": math.Inf(-1)}[word]
	case float64:
		return word
	}
	number, err := x.(json.Number).Float64()
	if err != nil && !math.IsInf(number, 0) {
		panic(err)
	}
	return number
}

// text reads a string of a case.
func text(x any) string {
	if object, ok := x.(map[string]any); ok {
		bytes, err := hex.DecodeString(object["hex"].(string))
		if err != nil {
			panic(err)
		}
		return string(bytes)
	}
	return x.(string)
}

func dtypeOf(name string) sidecall.Dtype {
	for number := range sidecall.Dtype(200) {
		if number.Name() == name {
			return number
		}
	}
	panic(name)
}

func (v *vector) path() string {
	if v.Open.URI != nil {
		folder, _ := filepath.Abs(models)
		return strings.ReplaceAll(*v.Open.URI, "$MODELS", folder)
	}
	return filepath.Join(models, v.Model)
}

func (v *vector) options(engine sidecall.Engine) []sidecall.Option {
	verify := map[string]sidecall.Verify{"warn": sidecall.VerifyWarn, "off": sidecall.VerifyOff}
	extra := map[string]sidecall.Extra{"ignore": sidecall.ExtraIgnore}
	return []sidecall.Option{
		sidecall.WithVerify(verify[v.Open.Verify]),
		sidecall.WithExtra(extra[v.Open.Extra]),
		sidecall.WithEngine(engine),
	}
}

func (v *vector) open(engine sidecall.Engine) (*sidecall.Model, error) {
	if v.Open.As == "bytes" {
		data, err := os.ReadFile(v.path())
		if err != nil {
			return nil, err
		}
		return sidecall.OpenBytes(data, v.options(engine)...)
	}
	return sidecall.Open(v.path(), v.options(engine)...)
}

// judge compares an error with the expected one. It returns what is wrong.
func (v *vector) judge(err error) string {
	var e *sidecall.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("got %T: %v", err, err)
	}
	if e.Code.Name() != v.ExpectStatus {
		return fmt.Sprintf("got %s: %v", e.Code.Name(), e)
	}
	first := e.Message[:1]
	if strings.ContainsAny(e.Message, "\n\r\t\x00") || first != strings.ToLower(first) {
		return fmt.Sprintf("the message is not a line in lower case: %q", e.Message)
	}
	got := map[string]any{"name": e.Feature, "expected": e.Expected, "got": e.Got,
		"message": e.Message, "row": float64(e.Row), "num_faults": float64(e.NumFaults)}
	for key, wanted := range v.ExpectError {
		if found, ok := got[key]; !ok || found != wanted {
			return fmt.Sprintf("%s: expected %v, got %v", key, wanted, found)
		}
	}
	return ""
}

// attempt judges the outcome of one way of calling.
func (v *vector) attempt(way, problem string, err error) string {
	switch {
	case err != nil:
		problem = v.judge(err)
	case v.ExpectStatus != "":
		problem = fmt.Sprintf("expected %s, but it passed", v.ExpectStatus)
	}
	if problem != "" {
		problem = way + ": " + problem
	}
	return problem
}

// ask calls the model in all ways that the case has.
func (v *vector) ask(model *sidecall.Model) string {
	if v.Inputs != nil {
		problem, err := v.run(model)
		if problem = v.attempt("run", problem, err); problem != "" {
			return problem
		}
	}
	json := string(v.Record)
	if v.JSON != nil {
		json = text(plain(v.JSON))
	}
	if json == "" {
		return ""
	}
	answer, err := model.PredictJSON(json)
	problem := ""
	if err == nil && v.Result != nil && !isSame(parse(string(v.Result)), parse(answer), v.Tolerance) {
		problem = "got " + answer
	}
	if problem = v.attempt("json", problem, err); problem != "" || v.Record == nil {
		return problem
	}
	return v.askValues(model)
}

// askValues gives the record as values of Go, if it has this form.
func (v *vector) askValues(model *sidecall.Model) string {
	var got any
	var err error
	switch record := plain(v.Record).(type) {
	case map[string]any:
		got, err = model.Predict(context.Background(), record)
	case []any:
		records := make([]map[string]any, len(record))
		for i := range record {
			var ok bool
			if records[i], ok = record[i].(map[string]any); !ok {
				return ""
			}
		}
		if len(records) == 0 {
			return ""
		}
		got, err = model.PredictMany(context.Background(), records)
	default:
		return ""
	}
	problem := ""
	if err == nil && v.Result != nil && !isSame(parse(string(v.Result)), got, v.Tolerance) {
		problem = fmt.Sprintf("got %v", got)
	}
	return v.attempt("values", problem, err)
}

// plain parses JSON into maps.
func plain(text json.RawMessage) (parsed any) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&parsed); err != nil {
		panic(err)
	}
	return parsed
}

func (v *vector) run(model *sidecall.Model) (string, error) {
	call, err := model.NewCall(1)
	if err != nil {
		return "", err
	}
	defer call.Close()
	inputs := map[string]sidecall.Tensor{}
	for _, input := range v.Inputs {
		index, err := model.Input(input.name)
		if err != nil {
			return "", err
		}
		inputs[input.name] = input.value.given()
		if err := call.CopyInput(index, inputs[input.name]); err != nil {
			return "", err
		}
	}
	if err := call.Run(context.Background()); err != nil {
		return "", err
	}
	outputs, err := model.Run(context.Background(), inputs)
	if err != nil {
		return "", fmt.Errorf("Model.Run: %w", err)
	}
	for _, wanted := range v.Outputs {
		index, err := model.Output(wanted.name)
		if err != nil {
			return "", err
		}
		view, err := call.Output(index)
		if err != nil {
			return "", err
		}
		if problem := wanted.value.compare(view, v.Tolerance); problem != "" {
			return fmt.Sprintf("output %s: %s", wanted.name, problem), nil
		}
		if copied := view.Tensor(); fmt.Sprint(copied) != fmt.Sprint(outputs[wanted.name]) {
			return fmt.Sprintf("output %s of Model.Run: got %v", wanted.name, outputs[wanted.name]), nil
		}
	}
	return "", nil
}

func readVectors(t *testing.T) map[string]*vector {
	files, err := filepath.Glob(models + "/../cases/*.json")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*vector{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.DisallowUnknownFields()
		var vectors []*vector
		if err := decoder.Decode(&vectors); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, v := range vectors {
			all[v.Name] = v
		}
	}
	if len(all) < 400 {
		t.Fatalf("%d cases", len(all))
	}
	return all
}

// try runs a case over a model that was just opened. It returns what is wrong.
func (v *vector) try(all map[string]*vector, model *sidecall.Model, err error) string {
	if err != nil {
		if problem := v.judge(err); problem != "" {
			return "open: " + problem
		}
		return ""
	}
	defer model.Close()
	if v.Inputs == nil && v.Record == nil && v.JSON == nil {
		return v.attempt("open", "", nil)
	}
	problem := v.ask(model)
	if problem == "" && v.After != "" {
		if problem = all[v.After].ask(model); problem != "" {
			problem = "afterwards, " + problem
		}
	}
	return problem
}

func TestEveryVectorPassesInProcess(t *testing.T) {
	all := readVectors(t)
	for name, v := range all {
		model, err := v.open(sidecall.EngineAuto)
		if problem := v.try(all, model, err); problem != "" {
			t.Errorf("%s: %s", name, problem)
		}
	}
}

// The native engine refuses some graphs, each with its reason; ONNX Runtime has other codes for
// files that contradict themselves.
func TestEveryVectorPassesOnTheNativeEngineOrIsRefusedByIt(t *testing.T) {
	all := readVectors(t)
	refused := 0
	for name, v := range all {
		model, err := v.open(sidecall.EngineNative)
		problem := v.try(all, model, err)
		if problem == "" {
			continue
		}
		if errors.Is(err, sidecall.CodeUnsupported) || errors.Is(err, sidecall.CodeFileInvalid) {
			refused++
		} else {
			t.Errorf("%s: %s", name, problem)
		}
	}
	if refused*10 > len(all) {
		t.Errorf("the native engine refuses %d of %d", refused, len(all))
	}
}

// Cases of files that do not open have no server to call.
func TestEveryVectorPassesOverSharedMemory(t *testing.T) {
	all := readVectors(t)
	served := 0
	for name, v := range all {
		local, err := v.open(sidecall.EngineAuto)
		if err != nil {
			continue
		}
		local.Close()
		served++
		address := serve(t, v.path(), "SIDECALL_VERIFY="+cmp.Or(v.Open.Verify, "error"))
		options := append(v.options(sidecall.EngineAuto), sidecall.WithWait(20*time.Second))
		model, err := sidecall.Open(address.uri, options...)
		if problem := v.try(all, model, err); problem != "" {
			t.Errorf("%s: %s", name, problem)
		}
		address.stop()
	}
	if served < 300 {
		t.Errorf("%d cases were served", served)
	}
}

// The Open Inference Protocol has no names for dimensions, and no way to say that an output has no
// known shape.
var notOverNetwork = regexp.MustCompile(`^shapes/(unshaped|two_inputs_rows_differ|` +
	`matmul_inner_differs)|bfloat16|float8|int4|rows_differ`)

func TestEveryVectorPassesOverHTTPAndGRPC(t *testing.T) {
	all := readVectors(t)
	files := map[[2]string][]string{} // the names of the cases of one server
	for name, v := range all {
		if v.Inputs == nil && v.Record == nil && v.JSON == nil || notOverNetwork.MatchString(name) {
			continue
		}
		if local, err := v.open(sidecall.EngineAuto); err == nil {
			local.Close()
			key := [2]string{v.path(), cmp.Or(v.Open.Verify, "error")}
			files[key] = append(files[key], name)
		}
	}
	served := 0
	for key, names := range files {
		server := serve(t, key[0], "SIDECALL_VERIFY="+key[1])
		for _, route := range []string{server.http, server.grpc} {
			for _, name := range names {
				v := *all[name]
				v.ExpectError = nil // its texts have names of dimensions
				options := append(v.options(sidecall.EngineAuto), sidecall.WithWait(20*time.Second))
				model, err := sidecall.Open(route, options...)
				if problem := v.try(all, model, err); problem != "" {
					t.Errorf("%s over %s: %s", name, route[:4], problem)
				}
				served++
			}
		}
		server.stop()
	}
	if served < 400 {
		t.Errorf("%d cases were served", served)
	}
}

// The models of the tests of all languages.
const models = "../../tests/vectors/models"
