// Structs as records and answers: how their fields are read and written.

package sidecall

// #include "shim.h"
import "C"

import (
	"fmt"
	"reflect"
	"runtime"
	"time"
	"unsafe"
)

// newPlan looks the names of two types up.
func newPlan[In, Out any](m *Model) (*plan[In, Out], error) {
	defer runtime.KeepAlive(m)
	if err := m.core.hold(); err != nil {
		return nil, err
	}
	defer m.core.letGo()
	if len(m.core.features) == 0 {
		if err := m.core.requireContract(); err != nil {
			return nil, err
		}
	}
	read, err := newReader(m, reflect.TypeFor[In]())
	if err != nil {
		return nil, err
	}
	write, err := newWriter(m, reflect.TypeFor[Out]())
	if err != nil {
		return nil, err
	}
	isPlain := !hasPointers(reflect.TypeFor[In]()) && !hasPointers(reflect.TypeFor[Out]())
	return &plan[In, Out]{read, write, isPlain}, nil
}

// hasPointers reports whether values of a type refer to other memory.
func hasPointers(t reflect.Type) bool {
	switch kind := t.Kind(); kind {
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Array:
		return hasPointers(t.Elem())
	default:
		return kind < reflect.Bool || kind > reflect.Complex128
	}
}

// requireContract returns the error of the library for a file without a contract.
func (c *core) requireContract() error {
	w, err := c.prepare(nil, 1)
	if err != nil {
		return err
	}
	defer w.close()
	return w.check(C.sidecall_call_clear(w.work.call, w.work.err))
}

var mapType = reflect.TypeFor[map[string]any]()

func newReader(m *Model, t reflect.Type) (reader, error) {
	if t == mapType {
		return mapReader{}, nil
	}
	if t.Kind() != reflect.Struct {
		return nil, refuse(CodeInvalidArgument,
			"the type of a record: expected a struct or map[string]any, got %s", t)
	}
	var r structReader
	seen := map[string]bool{}
	err := eachField(t, 0, func(name string, field reflect.StructField, offset uintptr) error {
		feature, err := m.Feature(name)
		if err != nil {
			return ofField(t, field, err)
		}
		dtype := m.core.features[feature].Dtype
		isDatetime := dtype == Datetime
		f := inField{offset: offset, feature: int32(feature)}
		f.set = setterOf(f.feature, field.Type, isDatetime)
		if f.set == nil {
			return refuse(CodeInvalidArgument,
				"field %s of %s: expected a bool, string, number, time or a pointer to one, got %s",
				field.Name, t, field.Type)
		}
		if seen[name] {
			return refuse(CodeInvalidArgument,
				"field %s of %s: expected one field for feature '%s', got a second", field.Name, t, name)
		}
		seen[name] = true
		if !takes(dtype, field.Type) || isOtherClock(m.core.features[feature], field.Type) {
			return wrongType(t, field, name, "feature '"+name+"'", dtype)
		}
		if field.Type.Kind() == reflect.Float64 && !isDatetime {
			f.set = nil
		}
		r.fields = append(r.fields, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, feature := range m.core.features {
		if !feature.Nullable && !seen[feature.Name] {
			return nil, missingField(t, feature)
		}
	}
	r.isNumbers = len(r.fields) > 0 && len(r.fields) == len(m.core.features)
	r.isInOrder = r.isNumbers
	for i, f := range r.fields {
		r.isNumbers = r.isNumbers && f.set == nil
		r.isInOrder = r.isInOrder && r.isNumbers && f.feature == int32(i) &&
			f.offset == r.fields[0].offset+uintptr(i)*unsafe.Sizeof(float64(0))
	}
	return &r, nil
}

// takes reports whether values of a type can be values of a feature.
func takes(dtype Dtype, t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	isTime := t == timeType || t == wallClockType
	isNumber := t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64
	switch {
	case t.Kind() == reflect.Interface:
		return true
	case dtype == String:
		return t.Kind() == reflect.String
	case dtype == Bool:
		return t.Kind() == reflect.Bool
	case dtype == Datetime:
		return isTime || isNumber || t.Kind() == reflect.String
	}
	return isNumber
}

// isOtherClock reports whether a feature has a time zone and a type has none, or the other way.
func isOtherClock(feature FeatureSpec, t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t == timeType && feature.Zone == "" || t == wallClockType && feature.Zone != ""
}

// ofField adds the field to the message of an error.
func ofField(t reflect.Type, field reflect.StructField, err error) error {
	if e, ok := err.(*Error); ok {
		e.Message = fmt.Sprintf("field %s of %s: %s", field.Name, t, e.Message)
	}
	return err
}

func wrongType(t reflect.Type, field reflect.StructField, name, what string, dtype Dtype) error {
	e := refuse(CodeDtypeMismatch, "field %s of %s: %s is %s, got %s", field.Name, t, what, dtype,
		field.Type)
	e.Feature, e.Expected, e.Got = name, dtype.Name(), field.Type.String()
	return e
}

func missingField(t reflect.Type, feature FeatureSpec) error {
	e := refuse(CodeMissingValue,
		"feature '%s', which may not be missing: expected a field of %s, got none", feature.Name, t)
	e.Feature, e.Expected, e.Got = feature.Name, feature.Dtype.Name(), "no field"
	return e
}

// eachField calls f for the fields of a struct that have a name of the model.
func eachField(t reflect.Type, base uintptr,
	f func(name string, field reflect.StructField, offset uintptr) error) error {
	for i := range t.NumField() {
		field := t.Field(i)
		name, isTagged := field.Tag.Lookup("sidecall")
		if field.Anonymous && !isTagged {
			isTime := field.Type == timeType || field.Type == wallClockType
			if isTime || field.Type.Kind() != reflect.Struct {
				return refuse(CodeInvalidArgument,
					"embedded field %s of %s: expected a struct or a tag, got %s", field.Name, t, field.Type)
			}
			if err := eachField(field.Type, base+field.Offset, f); err != nil {
				return err
			}
			continue
		}
		if name == "-" || !field.IsExported() {
			if isTagged && name != "-" {
				return refuse(CodeInvalidArgument,
					"field %s of %s: expected an exported field, got one that is not", field.Name, t)
			}
			continue
		}
		if !isTagged {
			name = field.Name
		}
		if err := f(name, field, base+field.Offset); err != nil {
			return err
		}
	}
	return nil
}

// structReader reads a record that is a struct.
type structReader struct {
	fields    []inField
	isNumbers bool // every feature of the model is a field of type float64
	isInOrder bool // isNumbers, and the fields follow each other in the order of the features
}

// inField is a field of a record.
type inField struct {
	offset  uintptr
	feature int32
	set     func(w *workspace, v *C.sidecall_value, address unsafe.Pointer) // nil for float64
}

func (r *structReader) set(w *workspace, record unsafe.Pointer) {
	if r.isNumbers {
		numbers := w.setNumbers()
		if r.isInOrder {
			first := (*C.double)(unsafe.Add(record, r.fields[0].offset))
			copy(numbers, unsafe.Slice(first, len(numbers)))
			return
		}
		for i := range r.fields {
			f := &r.fields[i]
			numbers[f.feature] = *(*C.double)(unsafe.Add(record, f.offset))
		}
		return
	}
	w.setValues()
	for i := range r.fields {
		f := &r.fields[i]
		value, at := &w.values[f.feature], unsafe.Add(record, f.offset)
		if f.set == nil { // a float64, the most frequent type
			value.kind = C.SIDECALL_VALUE_F64
			value.f64 = *(*C.double)(at)
			continue
		}
		f.set(w, value, at)
	}
}

var (
	timeType      = reflect.TypeFor[time.Time]()
	wallClockType = reflect.TypeFor[WallClock]()
)

// setterOf returns the function that sets a value of this type; nil for other types.
func setterOf(feature int32, t reflect.Type,
	isDatetime bool) func(*workspace, *C.sidecall_value, unsafe.Pointer) {
	switch t {
	case timeType:
		return func(_ *workspace, v *C.sidecall_value, at unsafe.Pointer) {
			setTime(v, C.SIDECALL_VALUE_INSTANT, *(*time.Time)(at))
		}
	case wallClockType:
		return func(_ *workspace, v *C.sidecall_value, at unsafe.Pointer) {
			setTime(v, C.SIDECALL_VALUE_DATETIME, wallClock(*(*time.Time)(at)))
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Pointer {
			return nil
		}
		set := setterOf(feature, t.Elem(), isDatetime)
		if set == nil {
			return nil
		}
		return func(w *workspace, v *C.sidecall_value, at unsafe.Pointer) {
			target := *(*unsafe.Pointer)(at)
			if target == nil {
				v.kind = C.SIDECALL_VALUE_MISSING
			} else {
				set(w, v, target)
			}
		}
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return nil
		}
		return func(w *workspace, _ *C.sidecall_value, at unsafe.Pointer) {
			w.setAny(feature, *(*any)(at))
		}
	case reflect.String:
		return func(w *workspace, v *C.sidecall_value, at unsafe.Pointer) {
			w.setText(v, C.SIDECALL_VALUE_STR, *(*string)(at))
		}
	case reflect.Bool:
		return func(_ *workspace, v *C.sidecall_value, at unsafe.Pointer) { setBool(v, *(*bool)(at)) }
	case reflect.Float64:
		return floatSetter[float64](isDatetime)
	case reflect.Float32:
		return floatSetter[float32](isDatetime)
	case reflect.Int:
		return intSetter[int](isDatetime)
	case reflect.Int8:
		return intSetter[int8](isDatetime)
	case reflect.Int16:
		return intSetter[int16](isDatetime)
	case reflect.Int32:
		return intSetter[int32](isDatetime)
	case reflect.Int64:
		return intSetter[int64](isDatetime)
	case reflect.Uint:
		return uintSetter[uint](isDatetime)
	case reflect.Uint8:
		return uintSetter[uint8](isDatetime)
	case reflect.Uint16:
		return uintSetter[uint16](isDatetime)
	case reflect.Uint32:
		return uintSetter[uint32](isDatetime)
	case reflect.Uint64:
		return uintSetter[uint64](isDatetime)
	}
	return nil
}

func floatSetter[T float32 | float64](
	isDatetime bool) func(*workspace, *C.sidecall_value, unsafe.Pointer) {
	return func(w *workspace, v *C.sidecall_value, at unsafe.Pointer) {
		w.setFloat(v, float64(*(*T)(at)), isDatetime)
	}
}

func intSetter[T int | int8 | int16 | int32 | int64](
	isDatetime bool) func(*workspace, *C.sidecall_value, unsafe.Pointer) {
	return func(w *workspace, v *C.sidecall_value, at unsafe.Pointer) {
		w.setInt(v, int64(*(*T)(at)), isDatetime)
	}
}

func uintSetter[T uint | uint8 | uint16 | uint32 | uint64](
	isDatetime bool) func(*workspace, *C.sidecall_value, unsafe.Pointer) {
	return func(w *workspace, v *C.sidecall_value, at unsafe.Pointer) {
		w.setUint(v, uint64(*(*T)(at)), isDatetime)
	}
}

func newWriter(m *Model, t reflect.Type) (writer, error) {
	columns := m.core.columns()
	if t == mapType {
		return newMapWriter(columns), nil
	}
	if t.Kind() != reflect.Struct {
		return nil, refuse(CodeInvalidArgument,
			"the type of an answer: expected a struct or map[string]any, got %s", t)
	}
	var wr structWriter
	var indices []int32
	err := eachField(t, 0, func(name string, field reflect.StructField, offset uintptr) error {
		f := outField{offset: offset, first: len(indices)}
		if isContainer(field.Type) {
			for i, column := range columns {
				if column.Output == name && column.Form != FormScalar {
					f.keys = append(f.keys, column.Key)
					f.spec = column
					indices = append(indices, int32(i))
				}
			}
		}
		if f.keys == nil {
			index, err := m.Column(name)
			if err != nil {
				return ofField(t, field, err)
			}
			f.spec = columns[index]
			indices = append(indices, int32(index))
		}
		f.get = getterOf(&f, field.Type)
		if f.get == nil {
			return wrongType(t, field, name, "column '"+f.spec.Name+"'", f.spec.Dtype)
		}
		wr.fields = append(wr.fields, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	wr.count = len(indices)
	wr.indices = (*C.int32_t)(C.malloc(C.size_t(4 * max(wr.count, 1))))
	copy(unsafe.Slice((*int32)(unsafe.Pointer(wr.indices)), wr.count), indices)
	runtime.AddCleanup(&wr, func(memory *C.int32_t) { C.free(unsafe.Pointer(memory)) }, wr.indices)
	return &wr, nil
}

func isContainer(t reflect.Type) bool {
	return t.Kind() == reflect.Slice || t.Kind() == reflect.Map
}

// structWriter writes an answer that is a struct.
type structWriter struct {
	fields  []outField
	indices *C.int32_t // memory of C
	count   int
}

// outField is a field of an answer.
type outField struct {
	offset uintptr
	first  int // where its columns begin in the answer
	spec   ColumnSpec
	keys   []string // of a map or slice
	get    func(w *workspace, address unsafe.Pointer)
}

func (wr *structWriter) columns() (*C.int32_t, int) { return wr.indices, wr.count }

func (wr *structWriter) get(w *workspace, answer unsafe.Pointer) {
	for i := range wr.fields {
		f := &wr.fields[i]
		f.get(w, unsafe.Add(answer, f.offset))
	}
}

// getterOf returns the function that writes the columns of a field; nil for a type that does not
// hold them.
func getterOf(f *outField, t reflect.Type) func(*workspace, unsafe.Pointer) {
	first, keys, dtype := f.first, f.keys, f.spec.Dtype
	isFloat := dtype == Float32 || dtype == Float64
	isInt := !isFloat && dtype != String && dtype != Bool
	if keys != nil {
		return containerGetter(f, t, isFloat, isInt)
	}
	switch t.Kind() {
	case reflect.Float64:
		if isFloat {
			return func(w *workspace, at unsafe.Pointer) { *(*float64)(at) = float64(w.answer[first].f64) }
		}
	case reflect.Float32:
		if dtype == Float32 {
			return func(w *workspace, at unsafe.Pointer) { *(*float32)(at) = float32(w.answer[first].f64) }
		}
	case reflect.Int64:
		if isInt {
			return func(w *workspace, at unsafe.Pointer) { *(*int64)(at) = int64(w.answer[first].i64) }
		}
	case reflect.Int:
		if isInt && unsafe.Sizeof(int(0)) == 8 {
			return func(w *workspace, at unsafe.Pointer) { *(*int)(at) = int(w.answer[first].i64) }
		}
	case reflect.Bool:
		if dtype == Bool {
			return func(w *workspace, at unsafe.Pointer) { *(*bool)(at) = w.answer[first].i64 != 0 }
		}
	case reflect.String:
		if dtype == String {
			return func(w *workspace, at unsafe.Pointer) { *(*string)(at) = w.textOf(first) }
		}
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return func(w *workspace, at unsafe.Pointer) { *(*any)(at) = w.valueOf(first) }
		}
	}
	return nil
}

// containerGetter returns the function for a map or slice of all columns of an output.
func containerGetter(f *outField, t reflect.Type,
	isFloat, isInt bool) func(*workspace, unsafe.Pointer) {
	switch t.Elem().Kind() {
	case reflect.Float64:
		if isFloat {
			return fillContainer[float64](f, t)
		}
	case reflect.Int64:
		if isInt {
			return fillContainer[int64](f, t)
		}
	case reflect.Bool:
		if f.spec.Dtype == Bool {
			return fillContainer[bool](f, t)
		}
	case reflect.String:
		if f.spec.Dtype == String {
			return fillContainer[string](f, t)
		}
	}
	return nil
}

func fillContainer[T any](f *outField, t reflect.Type) func(*workspace, unsafe.Pointer) {
	first, keys := f.first, f.keys
	switch {
	case t == reflect.TypeFor[[]T]():
		return func(w *workspace, at unsafe.Pointer) {
			values := make([]T, len(keys))
			for i := range values {
				values[i], _ = w.valueOf(first + i).(T)
			}
			*(*[]T)(at) = values
		}
	case t == reflect.TypeFor[map[string]T]():
		return func(w *workspace, at unsafe.Pointer) {
			values := make(map[string]T, len(keys))
			for i, key := range keys {
				values[key], _ = w.valueOf(first + i).(T)
			}
			*(*map[string]T)(at) = values
		}
	}
	return nil
}
