// Predictor, Predict and their relatives: records and answers of any type.

package sidecall

// #include "shim.h"
//
// #cgo noescape sidecall_call_get_row
// #cgo nocallback sidecall_call_get_row
// #cgo noescape sidecall_call_set_unknown
// #cgo nocallback sidecall_call_set_unknown
// #cgo noescape sidecall_go_set_row
// #cgo nocallback sidecall_go_set_row
import "C"

import (
	"context"
	"runtime"
	"slices"
	"unsafe"
)

// A Predictor predicts answers of type Out for records of type In. It has looked the names of both
// types up in the model. Any number of goroutines may use it at once.
type Predictor[In, Out any] struct {
	model *Model
	plan  *plan[In, Out]
}

// plan is the part of a predictor that the model keeps.
type plan[In, Out any] struct {
	read    reader
	write   writer
	isPlain bool // neither type has pointers, so that a workspace may keep a record and an answer
}

// A reader writes a record, which lies at an address, to the values of a workspace.
type reader interface {
	set(w *workspace, record unsafe.Pointer)
}

// A writer writes the answer of a workspace to an address.
type writer interface {
	columns() (first *C.int32_t, count int)
	get(w *workspace, answer unsafe.Pointer)
}

// NewPredictor returns a predictor for two types, whose names it looks up in the model.
//
// In is the type of records: a struct, or map[string]any. The tag sidecall:"name" names the feature
// of a field; without it the name of the field is the name of the feature, and sidecall:"-" leaves
// the field out. The fields of an embedded struct belong to the record. A field is a bool, a
// string, an integer, a float, a [time.Time], a [WallClock], or a pointer to one of them; nil and
// NaN are missing values. A feature that no field names is missing, so it must be one that accepts
// missing values.
//
// Out is the type of answers: a struct, or map[string]any. A field is named like a column ("label",
// "probabilities.fraud") and has its type: string, int64 or int, float64, bool; also float32 if the
// column is float32. A field that is named like an output ("probabilities") is a map with string
// keys, or a slice if the classes have no names. In map[string]any an output is a value, a
// map[string]T or a []T, where T is one of float64, int64, bool and string.
//
// NewPredictor checks names and types, so call it when the program starts: a mistake in a type is
// then not taken for one in the data.
//
// Errors: CodeUnknownName, CodeDtypeMismatch, CodeMissingValue, CodeNoContract,
// CodeInvalidArgument for types that are neither.
func NewPredictor[In, Out any](m *Model) (*Predictor[In, Out], error) {
	key := any((*plan[In, Out])(nil))
	if found, ok := m.core.plans.Load(key); ok {
		return &Predictor[In, Out]{m, found.(*plan[In, Out])}, nil
	}
	p, err := newPlan[In, Out](m)
	if err != nil {
		return nil, err
	}
	found, _ := m.core.plans.LoadOrStore(key, p)
	return &Predictor[In, Out]{m, found.(*plan[In, Out])}, nil
}

// Predict predicts for one record.
//
// Errors: CodeTimeout and CodeCancelled by the context; of [FamilyData] with every fault of the
// record, such as CodeMissingValue, CodeDtypeMismatch, CodeUnknownCategory, CodeOutOfRange and
// CodeRefused; CodeEngine; for a served model also CodeUnreachable, CodePeerDied and
// CodeContractChanged.
func (p *Predictor[In, Out]) Predict(ctx context.Context, record In) (Out, error) {
	c := p.model.core
	w, err := c.take(ctx, 1)
	if err != nil {
		var none Out
		return none, err
	}
	isOver := false // false if the context panics
	defer func() { c.give(w, isOver && !w.isDirty && isReusable(err)) }()
	// The record and its answer lie in the workspace, because here they would be allocated.
	held, ok := w.held.(*pair[In, Out])
	if !ok {
		held = &pair[In, Out]{}
		w.held = held
	}
	held.record = record
	err = w.predict(ctx, p.plan, p.plan.read, p.plan.write, unsafe.Pointer(&held.record),
		unsafe.Pointer(&held.answer))
	answer := held.answer
	if !p.plan.isPlain {
		*held = pair[In, Out]{} // so that nothing of the caller is kept
	}
	isOver = true
	runtime.KeepAlive(p)
	return answer, err
}

type pair[In, Out any] struct {
	record In
	answer Out
}

// predict predicts for the record at one address and writes the answer to the other.
func (w *workspace) predict(ctx context.Context, owner any, read reader, write writer,
	record, answer unsafe.Pointer) error {
	w.begin(owner)
	read.set(w, record)
	w.expect(write.columns())
	if err := w.run(ctx); err != nil {
		return err
	}
	write.get(w, answer)
	return nil
}

// PredictMany predicts for several records in one run, which is faster than one run for each. All
// of them have an answer, or none has: the faults of the error name the rows to leave out.
//
// Errors: those of [Predictor.Predict], with every fault of every record.
func (p *Predictor[In, Out]) PredictMany(ctx context.Context, records []In) ([]Out, error) {
	if len(records) == 0 {
		return nil, contextError(ctx)
	}
	c := p.model.core
	w, err := c.take(ctx, len(records))
	if err != nil {
		return nil, err
	}
	defer c.give(w, false)
	answers := make([]Out, len(records))
	err = predictMany(ctx, w, p.plan, records, answers)
	runtime.KeepAlive(p)
	if err != nil {
		return nil, err
	}
	return answers, nil
}

func predictMany[In, Out any](ctx context.Context, w *workspace, p *plan[In, Out], records []In,
	answers []Out) error {
	for row := range records {
		w.begin(p)
		w.row = C.int64_t(row)
		p.read.set(w, unsafe.Pointer(&records[row]))
		// The run reports what is refused.
		C.sidecall_go_set_row(w.address(), w.row)
	}
	w.row = 0
	w.setNothing()
	if err := w.run(ctx); err != nil {
		return err
	}
	w.expect(p.write.columns())
	for row := range answers {
		if err := w.check(C.sidecall_call_get_row(w.work.call, C.int64_t(row), w.work.columns,
			w.work.answer, w.work.num_columns, w.work.err)); err != nil {
			return err
		}
		p.write.get(w, unsafe.Pointer(&answers[row]))
	}
	return nil
}

// PredictAs predicts for one record. The names of the two types are looked up once for each model:
// see [NewPredictor], which says what the types may be.
//
// Errors: those of [NewPredictor] and [Predictor.Predict].
func PredictAs[In, Out any](ctx context.Context, m *Model, record In) (Out, error) {
	p, err := NewPredictor[In, Out](m)
	if err != nil {
		var none Out
		return none, err
	}
	return p.Predict(ctx, record)
}

// PredictManyAs predicts for several records in one run: see [Predictor.PredictMany].
func PredictManyAs[In, Out any](ctx context.Context, m *Model, records []In) ([]Out, error) {
	p, err := NewPredictor[In, Out](m)
	if err != nil {
		return nil, err
	}
	return p.PredictMany(ctx, records)
}

// Predict predicts for one record, which is a map of features by their names. A value is nil for a
// missing one, or as in [NewPredictor]; a [json.Number] is a number.
//
//	{"label": "no", "probabilities": map[string]float64{"no": 0.9, "fraud": 0.1}}
//
// Errors: those of [Predictor.Predict]; CodeUnknownName for keys that the model does not have,
// unless it was opened with [ExtraIgnore].
func (m *Model) Predict(ctx context.Context, record map[string]any) (map[string]any, error) {
	return PredictAs[map[string]any, map[string]any](ctx, m, record)
}

// PredictMany predicts for several records in one run: see [Model.Predict] and
// [Predictor.PredictMany].
func (m *Model) PredictMany(ctx context.Context,
	records []map[string]any) ([]map[string]any, error) {
	return PredictManyAs[map[string]any, map[string]any](ctx, m, records)
}

// mapReader reads a record of type map[string]any.
type mapReader struct{}

func (mapReader) set(w *workspace, record unsafe.Pointer) {
	w.setValues()
	clear(w.values)
	var unknown []string
	for name, value := range *(*map[string]any)(record) {
		if feature, ok := w.core.featureIndex[name]; ok {
			w.setAny(feature, value)
		} else {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown) // the order of faults must not change from run to run
	for _, name := range unknown {
		w.isDirty = true
		C.sidecall_call_set_unknown(w.work.call, w.row, bytesOf(name), C.size_t(len(name)), w.work.err)
	}
}

// mapWriter writes an answer of type map[string]any.
type mapWriter struct {
	outputs []mapOutput
	count   int
}

type mapOutput struct {
	name  string
	first int // index of its first column
	keys  []string
	form  Form
	dtype Dtype
}

func newMapWriter(columns []ColumnSpec) *mapWriter {
	t := &mapWriter{count: len(columns)}
	for i, column := range columns {
		if n := len(t.outputs); n == 0 || t.outputs[n-1].name != column.Output {
			t.outputs = append(t.outputs,
				mapOutput{name: column.Output, first: i, form: column.Form, dtype: column.Dtype})
		}
		last := &t.outputs[len(t.outputs)-1]
		last.keys = append(last.keys, column.Key)
	}
	return t
}

func (t *mapWriter) columns() (*C.int32_t, int) { return nil, t.count }

func (t *mapWriter) get(w *workspace, answer unsafe.Pointer) {
	all := make(map[string]any, len(t.outputs))
	for i := range t.outputs {
		o := &t.outputs[i]
		switch {
		case o.form == FormScalar:
			all[o.name] = w.valueOf(o.first)
		case o.dtype == Float32 || o.dtype == Float64:
			all[o.name] = collect[float64](w, o)
		case o.dtype == String:
			all[o.name] = collect[string](w, o)
		case o.dtype == Bool:
			all[o.name] = collect[bool](w, o)
		default:
			all[o.name] = collect[int64](w, o)
		}
	}
	*(*map[string]any)(answer) = all
}

// collect returns the columns of an output as a map or a slice.
func collect[T any](w *workspace, o *mapOutput) any {
	if o.form == FormElement {
		values := make([]T, len(o.keys))
		for i := range values {
			values[i], _ = w.valueOf(o.first + i).(T)
		}
		return values
	}
	values := make(map[string]T, len(o.keys))
	for i, key := range o.keys {
		values[key], _ = w.valueOf(o.first + i).(T)
	}
	return values
}
