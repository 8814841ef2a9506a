// Tests of records: structs, maps, faults, datetimes and contexts.

package sidecall_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // so that the time zones do not depend on the machine

	"sidecall.dev/sidecall"
)

type Penguin struct {
	BillLength    float64  `sidecall:"bill_length_mm"`
	BillDepth     *float64 `sidecall:"bill_depth_mm"`
	FlipperLength float32  `sidecall:"flipper_length_mm"`
	BodyMass      *float64 `sidecall:"body_mass_g"`
	Island        string   `sidecall:"island"`
	Sex           *string  `sidecall:"sex"`
	Note          string   `sidecall:"-"`
}

type Species struct {
	Label         string             `sidecall:"label"`
	Adelie        float64            `sidecall:"probabilities.Adelie"`
	Probabilities map[string]float64 `sidecall:"probabilities"`
}

func adelie() Penguin {
	depth, sex := 18.7, "male"
	return Penguin{
		BillLength:    39.1,
		BillDepth:     &depth,
		FlipperLength: 181,
		Island:        "Torgersen",
		Sex:           &sex,
	}
}

// open opens a model on the native engine, which needs no ONNX Runtime.
func open(t testing.TB, name string) *sidecall.Model {
	t.Helper()
	model, err := sidecall.Open(models+"/"+name, sidecall.WithEngine(sidecall.EngineNative))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { model.Close() })
	return model
}

// failure returns the error of the library in err.
func failure(t testing.TB, err error) *sidecall.Error {
	t.Helper()
	var e *sidecall.Error
	if !errors.As(err, &e) {
		t.Fatalf("expected a *sidecall.Error, got %v", err)
	}
	return e
}

func TestAStructIsAnsweredAsItsMapAndItsJSONText(t *testing.T) {
	model := open(t, "penguins.onnx")
	answer, err := sidecall.PredictAs[Penguin, Species](t.Context(), model, adelie())
	if err != nil {
		t.Fatal(err)
	}
	record := map[string]any{"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181,
		"body_mass_g": nil, "island": "Torgersen", "sex": "male"}
	asMap, err := model.Predict(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	probabilities := asMap["probabilities"].(map[string]float64)
	if answer.Label != "Adelie" || asMap["label"] != "Adelie" ||
		answer.Adelie != probabilities["Adelie"] || len(answer.Probabilities) != 3 ||
		answer.Probabilities["Adelie"] != answer.Adelie {
		t.Errorf("got %v and %v", answer, asMap)
	}
	json, err := model.PredictJSON(`{"bill_length_mm": 39.1, "bill_depth_mm": 18.7,
		"flipper_length_mm": 181, "body_mass_g": null, "island": "Torgersen", "sex": "male"}`)
	if err != nil || !strings.Contains(json, fmt.Sprintf(`"Adelie":%v`, answer.Adelie)) {
		t.Errorf("got %s, %v", json, err)
	}
}

func TestManyRecordsAreAnsweredInOneRun(t *testing.T) {
	model := open(t, "penguins.onnx")
	one, err := sidecall.PredictAs[Penguin, Species](t.Context(), model, adelie())
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{1, 7, 3} {
		penguins := make([]Penguin, rows)
		for i := range penguins {
			penguins[i] = adelie()
		}
		answers, err := sidecall.PredictManyAs[Penguin, Species](t.Context(), model, penguins)
		if err != nil || len(answers) != rows {
			t.Fatalf("got %v, %v", answers, err)
		}
		for _, answer := range answers {
			if answer.Label != one.Label || answer.Adelie != one.Adelie {
				t.Errorf("got %v", answer)
			}
		}
	}
	answers, err := sidecall.PredictManyAs[Penguin, Species](t.Context(), model, nil)
	if answers != nil || err != nil {
		t.Errorf("got %v, %v", answers, err)
	}
	broken := []map[string]any{{"island": 1}, {}, {"island": "Biscoe", "sex": 2, "size": 3}}
	_, err = model.PredictMany(t.Context(), broken)
	e := failure(t, err)
	if e.Code != sidecall.CodeDtypeMismatch || e.NumFaults != 3 || len(e.Faults) != 3 ||
		e.Faults[2].Feature != "size" || e.Faults[2].Row != 2 {
		t.Errorf("got %+v", e)
	}
}

func TestManyGoroutinesShareAModel(t *testing.T) {
	model := open(t, "penguins.onnx")
	var group sync.WaitGroup
	for range 1000 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 20 {
				answer, err := sidecall.PredictAs[Penguin, Species](t.Context(), model, adelie())
				if err != nil || answer.Label != "Adelie" {
					t.Errorf("got %v, %v", answer, err)
				}
			}
		}()
	}
	group.Wait()
}

func TestNamesAndTypesThatDoNotFitAreRefusedWhenTheyAreBound(t *testing.T) {
	model := open(t, "penguins.onnx")
	type Unknown struct {
		Size float64 `sidecall:"size"`
	}
	type Channel struct {
		Island chan int `sidecall:"island"`
	}
	type Private struct {
		island string `sidecall:"island"`
	}
	type NumberForText struct {
		Island int `sidecall:"island"`
	}
	type TextForNumber struct {
		BillLength *string `sidecall:"bill_length_mm"`
	}
	type NoSuchColumn struct {
		Label string `sidecall:"labels"`
	}
	type NumberOfText struct {
		Label float64 `sidecall:"label"`
	}
	type NarrowMap struct {
		Probabilities map[string]float32 `sidecall:"probabilities"`
	}
	_ = Private{island: ""}
	_, unknown := sidecall.NewPredictor[Unknown, Species](model)
	_, channel := sidecall.NewPredictor[Channel, Species](model)
	_, private := sidecall.NewPredictor[Private, Species](model)
	_, number := sidecall.NewPredictor[int, Species](model)
	_, numberForText := sidecall.NewPredictor[NumberForText, Species](model)
	_, textForNumber := sidecall.NewPredictor[TextForNumber, Species](model)
	_, column := sidecall.NewPredictor[Penguin, NoSuchColumn](model)
	_, wrongType := sidecall.NewPredictor[Penguin, NumberOfText](model)
	_, narrow := sidecall.NewPredictor[Penguin, NarrowMap](model)
	_, answer := sidecall.NewPredictor[Penguin, string](model)
	_, contract := sidecall.NewPredictor[Penguin, Species](open(t, "matmul.onnx"))
	for _, c := range []struct {
		err  error
		code sidecall.Code
		text string
	}{
		{unknown, sidecall.CodeUnknownName, "'size'"},
		{channel, sidecall.CodeInvalidArgument, "got chan int"},
		{private, sidecall.CodeInvalidArgument, "exported"},
		{number, sidecall.CodeInvalidArgument, "expected a struct or map[string]any, got int"},
		{numberForText, sidecall.CodeDtypeMismatch,
			"field Island of sidecall_test.NumberForText: feature 'island' is string, got int"},
		{textForNumber, sidecall.CodeDtypeMismatch, "feature 'bill_length_mm' is float32, got *string"},
		{column, sidecall.CodeUnknownName, "'labels'"},
		{wrongType, sidecall.CodeDtypeMismatch, "column 'label' is string, got float64"},
		{narrow, sidecall.CodeDtypeMismatch, "got map[string]float32"},
		{answer, sidecall.CodeInvalidArgument, "got string"},
		{contract, sidecall.CodeNoContract, "contract"},
	} {
		if e := failure(t, c.err); e.Code != c.code || !strings.Contains(e.Message, c.text) {
			t.Errorf("expected %v with %q, got %v: %v", c.code, c.text, e.Code, e)
		}
	}
}

func TestARecordWithoutSomeFeaturesDoesNotKeepThoseOfAnother(t *testing.T) {
	model := open(t, "penguins.onnx")
	type Nothing struct{}
	empty, err := sidecall.PredictAs[Nothing, Species](t.Context(), model, Nothing{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sidecall.PredictAs[Penguin, Species](t.Context(), model, adelie()); err != nil {
		t.Fatal(err)
	}
	_, err = model.Predict(t.Context(), map[string]any{"island": "Biscoe", "colour": "red"})
	if !errors.Is(err, sidecall.CodeUnknownName) {
		t.Errorf("got %v", err)
	}
	again, err := sidecall.PredictAs[Nothing, Species](t.Context(), model, Nothing{})
	if err != nil || again.Adelie != empty.Adelie {
		t.Errorf("got %v, %v; before it was %v", again, err, empty)
	}
	asMap, err := model.Predict(t.Context(), nil)
	if err != nil || asMap["probabilities"].(map[string]float64)["Adelie"] != empty.Adelie {
		t.Errorf("got %v, %v", asMap, err)
	}
}

func TestEveryTypeOfGoIsConvertedAsItsValue(t *testing.T) {
	type Named string
	type Level int8
	type Embedded struct {
		I64 uint32 `sidecall:"i64"`
		Any any    `sidecall:"flag"`
	}
	type Kinds struct {
		Embedded
		F32      int16
		F64      *float32 `sidecall:"f64"`
		Word     Named    `sidecall:"word"`
		F32Must  uint8    `sidecall:"f32_must"`
		F64Must  float32  `sidecall:"f64_must"`
		I64Must  Level    `sidecall:"i64_must"`
		FlagMust bool     `sidecall:"flag_must"`
		WordMust any      `sidecall:"word_must"`
	}
	model := open(t, "kinds.onnx")
	_, err := sidecall.NewPredictor[Kinds, map[string]any](model)
	if !errors.Is(err, sidecall.CodeUnknownName) {
		t.Errorf("a field without a tag has its own name, which this model does not have: got %v", err)
	}
	type Tagged struct {
		Embedded
		F32      int16    `sidecall:"f32"`
		F64      *float32 `sidecall:"f64"`
		Word     Named    `sidecall:"word"`
		F32Must  uint8    `sidecall:"f32_must"`
		F64Must  float32  `sidecall:"f64_must"`
		I64Must  Level    `sidecall:"i64_must"`
		FlagMust bool     `sidecall:"flag_must"`
		WordMust any      `sidecall:"word_must"`
	}
	half := float32(0.5)
	record := Tagged{Embedded: Embedded{I64: 7, Any: true}, F32: 2, F64: &half, Word: "a", F32Must: 3,
		F64Must: 0.25, I64Must: -4, FlagMust: true, WordMust: Named("b")}
	fromStruct, err := sidecall.PredictAs[Tagged, map[string]any](t.Context(), model, record)
	if err != nil {
		t.Fatal(err)
	}
	fromMap, err := model.Predict(t.Context(), map[string]any{"i64": uint16(7), "flag": true,
		"f32": int8(2), "f64": &half, "word": Named("a"), "f32_must": uint(3), "f64_must": 0.25,
		"i64_must":  int32(-4),
		"flag_must": true, "word_must": "b"})
	if err != nil || fmt.Sprint(fromMap) != fmt.Sprint(fromStruct) {
		t.Errorf("got %v and %v, %v", fromStruct, fromMap, err)
	}
	record.WordMust = []int{1}
	_, err = sidecall.PredictAs[Tagged, map[string]any](t.Context(), model, record)
	e := failure(t, err)
	if e.Code != sidecall.CodeDtypeMismatch || e.Feature != "word_must" || e.Got != "array" {
		t.Errorf("got %+v", e)
	}
	_, err = model.Predict(t.Context(), map[string]any{"i64_must": uint64(math.MaxUint64)})
	if e := failure(t, err); e.Feature != "f32_must" {
		t.Errorf("got %+v", e)
	}
}

func TestNumbersOfJSONAreExactOrRefused(t *testing.T) {
	model := open(t, "kinds.onnx")
	record := map[string]any{"f32_must": json.Number("1"), "f64_must": json.Number("2.5"),
		"i64_must": json.Number("9223372036854775807"), "flag_must": false, "word_must": "b"}
	if _, err := model.Predict(t.Context(), record); err != nil {
		t.Error(err)
	}
	for number, code := range map[json.Number]sidecall.Code{
		"9223372036854775808": sidecall.CodeOutOfRange,
		"1.5":                 sidecall.CodeDtypeMismatch,
		"1e400":               sidecall.CodeDtypeMismatch,
		"1x":                  sidecall.CodeDtypeMismatch,
	} {
		record["i64_must"] = number
		if _, err := model.Predict(t.Context(), record); !errors.Is(err, code) {
			t.Errorf("%s: expected %v, got %v", number, code, err)
		}
	}
	record["i64_must"] = 1
	for _, number := range []json.Number{"1e400", "-1e400"} {
		record["f64_must"] = number
		if _, err := model.Predict(t.Context(), record); !errors.Is(err, sidecall.CodeDtypeMismatch) {
			t.Errorf("%s: got %v", number, err)
		}
	}
}

func TestDatetimesFollowTheTimeZoneOfTheirFeature(t *testing.T) {
	model := open(t, "dates.onnx")
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	instant := time.Date(2001, 1, 31, 12, 30, 0, 0, berlin)
	record := map[string]any{"seen": instant, "born": sidecall.WallClock(instant), "due": instant}
	asTimes, err := model.Predict(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	asText, err := model.Predict(t.Context(), map[string]any{"seen": "2001-01-31T11:30:00Z",
		"born": "2001-01-31 12:30:00", "due": "2001-01-31T12:30:00+01:00"})
	if err != nil || fmt.Sprint(asTimes) != fmt.Sprint(asText) {
		t.Errorf("got %v and %v, %v", asTimes, asText, err)
	}
	type Event struct {
		Seen *time.Time         `sidecall:"seen"`
		Born sidecall.WallClock `sidecall:"born"`
		Due  time.Time          `sidecall:"due"`
	}
	event := Event{&instant, sidecall.WallClock(instant), instant}
	asStruct, err := sidecall.PredictAs[Event, map[string]any](t.Context(), model, event)
	if err != nil || fmt.Sprint(asStruct) != fmt.Sprint(asText) {
		t.Errorf("got %v and %v, %v", asStruct, asText, err)
	}
	type OtherClock struct {
		Seen sidecall.WallClock `sidecall:"seen"`
	}
	_, err = sidecall.NewPredictor[OtherClock, map[string]any](model)
	if !errors.Is(err, sidecall.CodeDtypeMismatch) {
		t.Errorf("got %v", err)
	}
	record["seen"] = sidecall.WallClock(instant)
	_, err = model.Predict(t.Context(), record)
	if e := failure(t, err); e.Code != sidecall.CodeDtypeMismatch || e.Feature != "seen" {
		t.Errorf("got %+v", e)
	}
	record["seen"] = instant
	record["born"] = instant // the feature has no time zone
	_, err = model.Predict(t.Context(), record)
	if e := failure(t, err); e.Code != sidecall.CodeDtypeMismatch || e.Feature != "born" {
		t.Errorf("got %+v", e)
	}
}

func TestATypeWithoutARequiredFeatureIsRefused(t *testing.T) {
	type Seen struct {
		Seen time.Time `sidecall:"seen"`
		Due  time.Time `sidecall:"due"`
	}
	_, err := sidecall.NewPredictor[Seen, map[string]any](open(t, "dates.onnx"))
	e := failure(t, err)
	if e.Code != sidecall.CodeMissingValue || e.Feature != "born" || e.Got != "no field" {
		t.Errorf("got %+v", e)
	}
	if want := "feature 'born', which may not be missing"; !strings.Contains(e.Message, want) {
		t.Errorf("expected %q in %q", want, e.Message)
	}
}

func sameAsMap[In any](t *testing.T, model *sidecall.Model, record In, asMap map[string]any) {
	t.Helper()
	expected, wanted := model.Predict(t.Context(), asMap)
	got, err := sidecall.PredictAs[In, map[string]any](t.Context(), model, record)
	if fmt.Sprint(got, err) != fmt.Sprint(expected, wanted) {
		t.Errorf("%T: expected %v, %v, got %v, %v", record, expected, wanted, got, err)
	}
	records := []In{record, record}
	many, err := sidecall.PredictManyAs[In, map[string]any](t.Context(), model, records)
	if wanted != nil {
		if e := failure(t, err); e.Code != failure(t, wanted).Code || len(e.Faults) < 2 {
			t.Errorf("%T: expected %v, got %v", record, wanted, err)
		}
	} else if fmt.Sprint(many, err) != fmt.Sprint([]any{expected, expected}, nil) {
		t.Errorf("%T: expected %v twice, got %v, %v", record, expected, many, err)
	}
}

func TestStructsOfNumbersInAnyOrderAreReadAlike(t *testing.T) {
	type InOrder struct {
		Note string  `sidecall:"-"`
		X0   float64 `sidecall:"x0"`
		X1   float64 `sidecall:"x1"`
		X2   float64 `sidecall:"x2"`
	}
	type Reversed struct {
		X2 float64 `sidecall:"x2"`
		X1 float64 `sidecall:"x1"`
		X0 float64 `sidecall:"x0"`
	}
	type WithGap struct {
		X0   float64 `sidecall:"x0"`
		X1   float64 `sidecall:"x1"`
		Note string  `sidecall:"-"`
		X2   float64 `sidecall:"x2"`
	}
	type Mixed struct {
		X0 float64 `sidecall:"x0"`
		X1 float32 `sidecall:"x1"`
		X2 int     `sidecall:"x2"`
	}
	model := open(t, "finite.onnx")
	for _, x0 := range []float64{0.25, -1e30, math.NaN(), math.Inf(1), 1e300} {
		asMap := map[string]any{"x0": x0, "x1": 1.5, "x2": -2.0}
		sameAsMap(t, model, InOrder{"", x0, 1.5, -2}, asMap)
		sameAsMap(t, model, Reversed{-2, 1.5, x0}, asMap)
		sameAsMap(t, model, WithGap{x0, 1.5, "", -2}, asMap)
		sameAsMap(t, model, Mixed{x0, 1.5, -2}, asMap)
	}
	type Integer struct {
		X float64 `sidecall:"x"`
		N float64 `sidecall:"n"`
	}
	model = open(t, "floats_float64.onnx")
	for _, n := range []float64{3, -0.5, math.NaN(), 1 << 60} {
		sameAsMap(t, model, Integer{math.NaN(), n}, map[string]any{"x": nil, "n": n})
	}
}

func TestTextsOfAnyLengthReachTheModel(t *testing.T) {
	model := open(t, "kinds.onnx")
	for _, length := range []int{0, 1, 1000, 5000, 100_000} {
		record := map[string]any{"f32_must": 1, "f64_must": 2, "i64_must": 3, "flag_must": false,
			"word": strings.Repeat("ä", length), "word_must": strings.Repeat("b", length)}
		answer, err := model.Predict(t.Context(), record)
		if err != nil || answer["word"] != nil && answer["word"] != record["word"] {
			t.Errorf("length %d: %v", length, err)
		}
	}
}

// writeZeros writes the first input of a call, whose values are missing until they are written.
func writeZeros(call *sidecall.Call) error {
	view, err := call.Input(0)
	if err != nil {
		return err
	}
	numbers, err := sidecall.Elements[float32](view)
	clear(numbers)
	return err
}

func TestACancelledContextEndsARun(t *testing.T) {
	model := open(t, "gbm.onnx")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := model.Predict(cancelled, nil)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, sidecall.CodeCancelled) {
		t.Errorf("got %v", err)
	}
	late, stop := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer stop()
	_, err = model.Predict(late, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !failure(t, err).Retryable {
		t.Errorf("got %v", err)
	}
	call, err := model.NewCall(1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	if err := writeZeros(call); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code  sidecall.Code
		begin func() (context.Context, context.CancelFunc)
	}{
		{sidecall.CodeTimeout, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 2*time.Millisecond)
		}},
		{sidecall.CodeCancelled, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(2*time.Millisecond, cancel)
			return ctx, cancel
		}},
	} {
		ctx, cancel := c.begin()
		if err := call.Run(ctx); !errors.Is(err, c.code) {
			t.Errorf("expected %v, got %v", c.code, err)
		}
		cancel()
	}
	if err := call.Resize(1); err != nil { // the call stays usable
		t.Error(err)
	}
}

func TestValuesHaveTheFormOfRecordsInJSON(t *testing.T) {
	instant := time.Date(2026, 1, 31, 12, 30, 0, 250_000_000, time.UTC)
	for want, value := range map[string]any{
		`"DTYPE_MISMATCH"`:           sidecall.CodeDtypeMismatch,
		`"2026-01-31T12:30:00.25"`:   sidecall.WallClock(instant),
		`{"Code":"MISSING_VALUE"}`:   struct{ Code sidecall.Code }{sidecall.CodeMissingValue},
		`["2026-01-31T12:30:00.25"]`: []sidecall.WallClock{sidecall.WallClock(instant)},
	} {
		text, err := json.Marshal(value)
		if err != nil || string(text) != want {
			t.Errorf("expected %s, got %s (%v)", want, text, err)
		}
	}
	var read struct {
		Code sidecall.Code
		Born sidecall.WallClock
	}
	text := `{"Code": "MISSING_VALUE", "Born": "2026-01-31T12:30:00.25"}`
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		t.Fatal(err)
	}
	if read.Code != sidecall.CodeMissingValue || !time.Time(read.Born).Equal(instant) {
		t.Errorf("expected the values that were written, got %v", read)
	}
	for _, text := range []string{`{"Code": "NOT_A_CODE"}`, `{"Born": "2026-01-31T12:30:00Z"}`} {
		if err := json.Unmarshal([]byte(text), &read); err == nil {
			t.Errorf("expected an error for %s, got none", text)
		}
	}
}
