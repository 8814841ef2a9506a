// Call: a reusable workspace for batches and tensors.

package sidecall

// #include "shim.h"
//
// #cgo noescape sidecall_call_clear
// #cgo nocallback sidecall_call_clear
// #cgo noescape sidecall_call_get_column_f64
// #cgo nocallback sidecall_call_get_column_f64
// #cgo noescape sidecall_call_get_column_i64
// #cgo nocallback sidecall_call_get_column_i64
// #cgo noescape sidecall_call_get_f64
// #cgo nocallback sidecall_call_get_f64
// #cgo noescape sidecall_call_get_i64
// #cgo nocallback sidecall_call_get_i64
// #cgo noescape sidecall_call_get_row
// #cgo nocallback sidecall_call_get_row
// #cgo noescape sidecall_call_get_row_f64
// #cgo nocallback sidecall_call_get_row_f64
// #cgo noescape sidecall_call_get_str
// #cgo nocallback sidecall_call_get_str
// #cgo noescape sidecall_call_input
// #cgo nocallback sidecall_call_input
// #cgo noescape sidecall_call_output
// #cgo nocallback sidecall_call_output
// #cgo noescape sidecall_call_reset
// #cgo nocallback sidecall_call_reset
// #cgo noescape sidecall_call_reshape
// #cgo nocallback sidecall_call_reshape
// #cgo noescape sidecall_call_resize
// #cgo nocallback sidecall_call_resize
// #cgo noescape sidecall_call_rows
// #cgo nocallback sidecall_call_rows
// #cgo noescape sidecall_call_set_bool
// #cgo nocallback sidecall_call_set_bool
// #cgo noescape sidecall_call_set_datetime
// #cgo nocallback sidecall_call_set_datetime
// #cgo noescape sidecall_call_set_f64
// #cgo nocallback sidecall_call_set_f64
// #cgo noescape sidecall_call_set_feature_bool
// #cgo nocallback sidecall_call_set_feature_bool
// #cgo noescape sidecall_call_set_feature_f64
// #cgo nocallback sidecall_call_set_feature_f64
// #cgo noescape sidecall_call_set_feature_i64
// #cgo nocallback sidecall_call_set_feature_i64
// #cgo noescape sidecall_call_set_feature_str
// #cgo nocallback sidecall_call_set_feature_str
// #cgo noescape sidecall_call_set_i64
// #cgo nocallback sidecall_call_set_i64
// #cgo noescape sidecall_call_set_instant
// #cgo nocallback sidecall_call_set_instant
// #cgo noescape sidecall_call_set_missing
// #cgo nocallback sidecall_call_set_missing
// #cgo noescape sidecall_call_set_row
// #cgo nocallback sidecall_call_set_row
// #cgo noescape sidecall_call_set_row_f64
// #cgo nocallback sidecall_call_set_row_f64
// #cgo noescape sidecall_call_set_str
// #cgo nocallback sidecall_call_set_str
// #cgo nocallback sidecall_go_bind_input
// #cgo noescape sidecall_go_run
// #cgo nocallback sidecall_go_run
import "C"

import (
	"context"
	"runtime"
	"time"
	"unsafe"
)

// A Call is a reusable workspace: the memory of the inputs and outputs for a number of rows. It is
// for batches, for tensors without copies, and for programs that must not allocate. It belongs to
// one goroutine at a time.
//
// Look the names up once. Then, for each batch: clear the call, set features, run, read columns.
// Values stay for the next run. A value that is refused is remembered, and [Call.Run] reports it
// together with all others, so a program may check the run alone.
type Call struct {
	w    *workspace
	stop runtime.Cleanup
}

// NewCall opens a call for a number of rows. The caller closes it. If it is forgotten, it is closed
// when it is collected as garbage, but not after [Call.Input] or [Call.Output] gave a view of its
// memory.
//
// Errors: CodeInvalidArgument for less than one row; for a served model also those of connecting.
func (m *Model) NewCall(rows int) (*Call, error) {
	defer runtime.KeepAlive(m)
	if err := m.core.hold(); err != nil {
		return nil, err
	}
	defer m.core.letGo()
	w, err := m.core.newWorkspace()
	if err != nil {
		return nil, err
	}
	if err := w.check(C.sidecall_call_open(m.core.handle, C.int64_t(rows), &w.work.call,
		w.work.err)); err != nil {
		w.close()
		return nil, err
	}
	c := &Call{w: w}
	c.stop = runtime.AddCleanup(c, (*workspace).close, w)
	return c, nil
}

// Close releases the call. It always returns nil, and may be called again. No other function of the
// call may be used afterwards.
func (c *Call) Close() error {
	if c.w == nil {
		return nil
	}
	c.stop.Stop()
	c.w.close()
	c.w = nil
	return nil
}

// check returns the error of a function of the library, and keeps the call alive until it returned.
func (c *Call) check(status C.sidecall_status) error {
	err := c.w.check(status)
	runtime.KeepAlive(c)
	return err
}

// Rows returns the number of rows.
func (c *Call) Rows() int {
	rows := int(C.sidecall_call_rows(c.w.work.call))
	runtime.KeepAlive(c)
	return rows
}

// Resize sets the number of rows. All inputs must be given again.
//
// Errors: CodeInvalidArgument for less than one row.
func (c *Call) Resize(rows int) error {
	return c.check(C.sidecall_call_resize(c.w.work.call, C.int64_t(rows), c.w.work.err))
}

// Clear begins the next records: it makes every feature of every row missing.
//
// Errors: CodeNoContract.
func (c *Call) Clear() error {
	return c.check(C.sidecall_call_clear(c.w.work.call, c.w.work.err))
}

// Reset forgets which inputs were given.
func (c *Call) Reset() error {
	return c.check(C.sidecall_call_reset(c.w.work.call, c.w.work.err))
}

// SetFloat64 sets a float32 or float64 feature, or an int64 feature if the value is whole. NaN is
// missing.
//
// Errors: those of sidecall_call_set_f64.
func (c *Call) SetFloat64(row int, feature Feature, value float64) error {
	return c.check(C.sidecall_call_set_f64(c.w.work.call, C.int64_t(row), C.int32_t(feature),
		C.double(value), c.w.work.err))
}

// SetInt64 sets an int64, float32 or float64 feature; of a datetime feature, the count in its unit.
//
// Errors: those of sidecall_call_set_i64.
func (c *Call) SetInt64(row int, feature Feature, value int64) error {
	return c.check(C.sidecall_call_set_i64(c.w.work.call, C.int64_t(row), C.int32_t(feature),
		C.int64_t(value), c.w.work.err))
}

// SetBool sets a bool feature.
//
// Errors: those of sidecall_call_set_bool.
func (c *Call) SetBool(row int, feature Feature, value bool) error {
	number := C.int32_t(0)
	if value {
		number = 1
	}
	return c.check(C.sidecall_call_set_bool(c.w.work.call, C.int64_t(row), C.int32_t(feature), number,
		c.w.work.err))
}

// SetText sets a string feature, or a datetime feature in ISO 8601.
//
// Errors: those of sidecall_call_set_str.
func (c *Call) SetText(row int, feature Feature, value string) error {
	return c.check(C.sidecall_call_set_str(c.w.work.call, C.int64_t(row), C.int32_t(feature),
		bytesOf(value), C.size_t(len(value)), c.w.work.err))
}

// SetTime sets a datetime feature with a time zone.
//
// Errors: those of sidecall_call_set_datetime; CodeDtypeMismatch for a feature without a time zone.
func (c *Call) SetTime(row int, feature Feature, value time.Time) error {
	return c.check(C.sidecall_call_set_instant(c.w.work.call, C.int64_t(row), C.int32_t(feature),
		C.int64_t(value.Unix()), C.int32_t(value.Nanosecond()), c.w.work.err))
}

// SetWallClock sets a datetime feature without a time zone.
//
// Errors: those of sidecall_call_set_datetime.
func (c *Call) SetWallClock(row int, feature Feature, value WallClock) error {
	if f := c.w.core.features; feature >= 0 && int(feature) < len(f) && f[feature].Zone != "" {
		const got = "a time without a time zone\x00"
		return c.check(C.sidecall_call_set_invalid(c.w.work.call, C.int64_t(row), C.int32_t(feature),
			bytesOf(got), c.w.work.err))
	}
	t := wallClock(time.Time(value))
	return c.check(C.sidecall_call_set_datetime(c.w.work.call, C.int64_t(row), C.int32_t(feature),
		C.int64_t(t.Unix()), C.int32_t(t.Nanosecond()), c.w.work.err))
}

// SetMissing makes a nullable feature missing.
//
// Errors: those of sidecall_call_set_missing.
func (c *Call) SetMissing(row int, feature Feature) error {
	return c.check(C.sidecall_call_set_missing(c.w.work.call, C.int64_t(row), C.int32_t(feature),
		c.w.work.err))
}

// SetRow sets all features of a row, in the order of [Model.Features]. The values are those of
// [Model.Predict].
//
// Errors: the first value that is refused; the run reports all. CodeInvalidArgument for another
// number of values.
func (c *Call) SetRow(row int, values []any) error {
	w := c.w
	w.begin(nil)
	for i := range min(len(values), len(w.values)) {
		w.setAny(int32(i), values[i])
	}
	return c.check(C.sidecall_call_set_row(w.work.call, C.int64_t(row), nil,
		unsafe.SliceData(w.values), C.int64_t(len(values)), w.work.err))
}

// SetRowFloat64 sets several features of a row from numbers; `features` is nil for all, in the
// order of [Model.Features].
//
// Errors: those of [Call.SetRow]; CodeInvalidArgument also if the slices differ in length.
func (c *Call) SetRowFloat64(row int, features []Feature, values []float64) error {
	var none Feature
	indices, count := unsafe.SliceData(features), len(values)
	if features != nil && len(features) != len(values) {
		count = -1 // so that the run fails too
	} else if features != nil && count == 0 {
		indices = &none
	}
	err := c.check(C.sidecall_call_set_row_f64(c.w.work.call, C.int64_t(row),
		(*C.int32_t)(unsafe.Pointer(indices)), (*C.double)(unsafe.SliceData(values)),
		C.int64_t(count), c.w.work.err))
	return lengthError(err, count, "values", len(features), len(values))
}

// SetFeatureFloat64 sets a feature of all rows. `missing` is nil, or tells for each row whether its
// value is missing; NaN is missing too.
//
// Errors: those of [Call.SetRow]; CodeInvalidArgument if a slice does not have an element for each
// row.
func (c *Call) SetFeatureFloat64(feature Feature, values []float64, missing []bool) error {
	flags, count := flagsOf(missing, len(values))
	err := c.check(C.sidecall_call_set_feature_f64(c.w.work.call, C.int32_t(feature),
		(*C.double)(unsafe.SliceData(values)), flags, count, c.w.work.err))
	return lengthError(err, int(count), "missing", len(values), len(missing))
}

// SetFeatureInt64 is [Call.SetFeatureFloat64] for integers, and for datetimes as counts of their
// unit.
func (c *Call) SetFeatureInt64(feature Feature, values []int64, missing []bool) error {
	flags, count := flagsOf(missing, len(values))
	err := c.check(C.sidecall_call_set_feature_i64(c.w.work.call, C.int32_t(feature),
		(*C.int64_t)(unsafe.SliceData(values)), flags, count, c.w.work.err))
	return lengthError(err, int(count), "missing", len(values), len(missing))
}

// SetFeatureBool is [Call.SetFeatureFloat64] for bools.
func (c *Call) SetFeatureBool(feature Feature, values, missing []bool) error {
	flags, count := flagsOf(missing, len(values))
	err := c.check(C.sidecall_call_set_feature_bool(c.w.work.call, C.int32_t(feature),
		(*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(values))), flags, count, c.w.work.err))
	return lengthError(err, int(count), "missing", len(values), len(missing))
}

// SetFeatureText is [Call.SetFeatureFloat64] for texts.
func (c *Call) SetFeatureText(feature Feature, values []string, missing []bool) error {
	flags, count := flagsOf(missing, len(values))
	f := flattenText(values)
	err := c.check(C.sidecall_call_set_feature_str(c.w.work.call, C.int32_t(feature),
		(*C.char)(f.data), C.uint64_t(f.bytes), (*C.int64_t)(unsafe.SliceData(f.offsets)), flags, count,
		c.w.work.err))
	return lengthError(err, int(count), "missing", len(values), len(missing))
}

// flagsOf returns the flags of missing values, and the number of values. The library refuses -1.
func flagsOf(missing []bool, count int) (*C.uint8_t, C.int64_t) {
	if missing != nil && len(missing) != count {
		return nil, -1
	}
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(missing))), C.int64_t(count)
}

// lengthError names the lengths of two slices if they differ, which is a count of -1.
func lengthError(err error, count int, name string, expected, got int) error {
	if err != nil && count == -1 {
		return refuse(CodeInvalidArgument, "%s: expected %d elements, got %d", name, expected, got)
	}
	return err
}

// Run runs the call once.
//
// Errors: those of sidecall_call_run, with every fault of every row; CodeTimeout and CodeCancelled
// by the context. After an error the outputs are invalid, and the inputs stay.
func (c *Call) Run(ctx context.Context) error {
	c.w.setNothing()
	err := c.w.run(ctx)
	runtime.KeepAlive(c)
	return err
}

// Float64 reads a numeric column of a row after a run.
//
// Errors: those of sidecall_call_get_f64.
func (c *Call) Float64(row int, column Column) (float64, error) {
	var value C.double
	err := c.check(C.sidecall_call_get_f64(c.w.work.call, C.int64_t(row), C.int32_t(column), &value,
		c.w.work.err))
	return float64(value), err
}

// Int64 reads an integer or bool column of a row after a run.
//
// Errors: those of sidecall_call_get_i64.
func (c *Call) Int64(row int, column Column) (int64, error) {
	var value C.int64_t
	err := c.check(C.sidecall_call_get_i64(c.w.work.call, C.int64_t(row), C.int32_t(column), &value,
		c.w.work.err))
	return int64(value), err
}

// Text reads a string column of a row after a run. The text is a copy.
//
// Errors: those of sidecall_call_get_str.
func (c *Call) Text(row int, column Column) (string, error) {
	var text *C.char
	var length C.size_t
	status := C.sidecall_call_get_str(c.w.work.call, C.int64_t(row), C.int32_t(column), &text, &length,
		c.w.work.err)
	value := goText(text, length)
	return value, c.check(status)
}

// RowFloat64 reads several columns of a row into `out`; `columns` is nil for all, in the order of
// [Model.Columns].
//
// Errors: those of [Call.Float64]; CodeInvalidArgument also if the slices differ in length.
func (c *Call) RowFloat64(row int, columns []Column, out []float64) error {
	var none Column
	indices, count := unsafe.SliceData(columns), len(out)
	if columns != nil && len(columns) != len(out) {
		count = -1
	} else if columns != nil && count == 0 {
		indices = &none
	}
	err := c.check(C.sidecall_call_get_row_f64(c.w.work.call, C.int64_t(row),
		(*C.int32_t)(unsafe.Pointer(indices)), (*C.double)(unsafe.SliceData(out)), C.int64_t(count),
		c.w.work.err))
	return lengthError(err, count, "out", len(columns), len(out))
}

// Row reads all columns of a row, in the order of [Model.Columns]: float64, int64, bool or string.
//
// Errors: those of [Call.Float64].
func (c *Call) Row(row int) ([]any, error) {
	w := c.w
	w.expect(nil, w.core.numColumns)
	err := c.check(C.sidecall_call_get_row(w.work.call, C.int64_t(row), nil, w.work.answer,
		w.work.num_columns, w.work.err))
	if err != nil {
		return nil, err
	}
	values := make([]any, w.work.num_columns)
	for i := range values {
		values[i] = w.valueOf(i)
	}
	runtime.KeepAlive(c)
	return values, nil
}

// ColumnFloat64 reads a numeric column of all rows into `out`, which has an element for each row.
//
// Errors: those of [Call.Float64]; CodeInvalidArgument for another number of elements.
func (c *Call) ColumnFloat64(column Column, out []float64) error {
	return c.check(C.sidecall_call_get_column_f64(c.w.work.call, C.int32_t(column),
		(*C.double)(unsafe.SliceData(out)), C.int64_t(len(out)), c.w.work.err))
}

// ColumnInt64 is [Call.ColumnFloat64] for integer and bool columns.
func (c *Call) ColumnInt64(column Column, out []int64) error {
	return c.check(C.sidecall_call_get_column_i64(c.w.work.call, C.int32_t(column),
		(*C.int64_t)(unsafe.SliceData(out)), C.int64_t(len(out)), c.w.work.err))
}

// ColumnText reads a string column of all rows into `out`, which has an element for each row.
//
// Errors: those of [Call.Text]; CodeInvalidArgument for another number of elements.
func (c *Call) ColumnText(column Column, out []string) error {
	if rows := c.Rows(); len(out) != rows {
		return refuse(CodeInvalidArgument, "a column of all rows: expected %d elements, got %d", rows,
			len(out))
	}
	for row := range out {
		text, err := c.Text(row, column)
		if err != nil {
			return err
		}
		out[row] = text
	}
	return nil
}

// CopyInput gives an input a whole tensor, with its shape, by copying it.
//
// Errors: those of sidecall_call_copy_input.
func (c *Call) CopyInput(input Input, tensor Tensor) error {
	err := c.w.copyInput(input, tensor)
	runtime.KeepAlive(c)
	return err
}

// BindInput gives an input a whole tensor without copying it: from now on runs read the memory of
// the tensor, until the input is given in another way or the call is closed. It must not change
// while a run is under way. Strings are copied.
//
// Errors: those of sidecall_call_bind_input.
func (c *Call) BindInput(input Input, tensor Tensor) error {
	f, err := flatten(tensor)
	if err != nil {
		return err
	}
	pins := &runtime.Pinner{}
	pins.Pin(f.data)
	var dims *int64
	if len(tensor.Shape) > 0 {
		dims = &tensor.Shape[0]
	}
	if err := c.check(C.sidecall_go_bind_input(c.w.work.call, C.int32_t(input),
		C.int32_t(tensor.Dtype), (*C.int64_t)(unsafe.Pointer(dims)), C.int32_t(len(tensor.Shape)), f.data,
		C.uint64_t(f.bytes), (*C.int64_t)(unsafe.SliceData(f.offsets)), c.w.work.err)); err != nil {
		pins.Unpin()
		return err
	}
	if earlier := c.w.pins[input]; earlier != nil {
		earlier.Unpin()
	}
	c.w.pins[input] = pins
	return nil
}

// Input returns the memory of an input, so that the caller can write the values there: the engine
// reads that memory in place. From now on the input counts as given.
//
// Errors: those of sidecall_call_input.
func (c *Call) Input(input Input) (View, error) {
	c.stop.Stop() // the view may outlive the call
	view := C.sidecall_view{struct_size: C.sizeof_sidecall_view}
	err := c.check(C.sidecall_call_input(c.w.work.call, C.int32_t(input), &view, c.w.work.err))
	if err != nil {
		return View{}, err
	}
	return newView(&view), nil
}

// Output returns the memory of an output. After a run it has the values.
//
// Errors: those of sidecall_call_output.
func (c *Call) Output(output Output) (View, error) {
	c.stop.Stop() // the view may outlive the call
	view, err := c.w.output(output)
	runtime.KeepAlive(c)
	return view, err
}

func (w *workspace) output(output Output) (View, error) {
	view := C.sidecall_view{struct_size: C.sizeof_sidecall_view}
	err := w.check(C.sidecall_call_output(w.work.call, C.int32_t(output), &view, w.work.err))
	if err != nil {
		return View{}, err
	}
	return newView(&view), nil
}

// Reshape gives an input a shape of its own, for inputs that vary in more than the number of rows.
//
// Errors: those of sidecall_call_reshape.
func (c *Call) Reshape(input Input, shape ...int64) error {
	return c.check(C.sidecall_call_reshape(c.w.work.call, C.int32_t(input),
		(*C.int64_t)(unsafe.SliceData(shape)), C.int32_t(len(shape)), c.w.work.err))
}
