// Values of Go as values of records.

package sidecall

// #include "shim.h"
import "C"

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// WallClock is a datetime as a clock on the wall shows it, for features without a time zone: the
// location of the time does not count. A [time.Time] itself is a point in time, and is for features
// with a time zone.
type WallClock time.Time

// The layout of a WallClock in JSON, which is that of records in every language.
const wallClockLayout = "2006-01-02T15:04:05.999999999"

// MarshalText returns the datetime in ISO 8601, without a time zone.
func (w WallClock) MarshalText() ([]byte, error) {
	return []byte(time.Time(w).Format(wallClockLayout)), nil
}

// UnmarshalText reads a datetime in ISO 8601, which must not have a time zone.
func (w *WallClock) UnmarshalText(text []byte) error {
	t, err := time.Parse(wallClockLayout, string(text))
	if err == nil {
		*w = WallClock(t)
	}
	return err
}

// setAny writes a value of a record to one of w.values. Values of other types are refused when the
// record runs.
func (w *workspace) setAny(feature int32, value any) {
	v := &w.values[feature]
	isDatetime := w.core.features[feature].Dtype == Datetime
	switch x := value.(type) {
	case nil:
		v.kind = C.SIDECALL_VALUE_MISSING
	case float64:
		w.setFloat(v, x, isDatetime)
	case string:
		w.setText(v, C.SIDECALL_VALUE_STR, x)
	case bool:
		setBool(v, x)
	case int:
		w.setInt(v, int64(x), isDatetime)
	case int64:
		w.setInt(v, x, isDatetime)
	case time.Time:
		setTime(v, C.SIDECALL_VALUE_INSTANT, x)
	case WallClock:
		if w.core.features[feature].Zone != "" {
			w.setText(v, C.SIDECALL_VALUE_INVALID, "a time without a time zone")
			return
		}
		setTime(v, C.SIDECALL_VALUE_DATETIME, wallClock(time.Time(x)))
	case json.Number:
		w.setNumber(v, x, isDatetime)
	default:
		w.setReflected(v, feature, value, isDatetime)
	}
}

// setReflected writes a value whose type has another name: a pointer, or a type of the caller.
func (w *workspace) setReflected(v *C.sidecall_value, feature int32, value any, isDatetime bool) {
	r := reflect.ValueOf(value)
	switch r.Kind() {
	case reflect.Pointer:
		switch {
		case r.IsNil():
			v.kind = C.SIDECALL_VALUE_MISSING
		case r.Elem().Kind() == reflect.Pointer || r.Elem().Kind() == reflect.Interface:
			// It may lead to itself.
			w.setText(v, C.SIDECALL_VALUE_INVALID, "a pointer to a pointer")
		default:
			w.setAny(feature, r.Elem().Interface())
		}
	case reflect.String:
		w.setText(v, C.SIDECALL_VALUE_STR, r.String())
	case reflect.Bool:
		setBool(v, r.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.setInt(v, r.Int(), isDatetime)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		w.setUint(v, r.Uint(), isDatetime)
	case reflect.Float32, reflect.Float64:
		w.setFloat(v, r.Float(), isDatetime)
	case reflect.Slice, reflect.Array:
		w.setText(v, C.SIDECALL_VALUE_INVALID, "array")
	case reflect.Map:
		w.setText(v, C.SIDECALL_VALUE_INVALID, "object")
	default:
		w.setText(v, C.SIDECALL_VALUE_INVALID, fmt.Sprintf("%T", value))
	}
}

func (w *workspace) setText(v *C.sidecall_value, kind C.int32_t, text string) {
	v.kind = kind
	v.text = w.copyText(text)
	v.length = C.size_t(len(text))
}

func setBool(v *C.sidecall_value, value bool) {
	v.kind = C.SIDECALL_VALUE_BOOL
	v.i64 = 0
	if value {
		v.i64 = 1
	}
}

// A plain number for a datetime counts what the contract says, as in JSON.
func (w *workspace) setInt(v *C.sidecall_value, value int64, isDatetime bool) {
	if isDatetime {
		w.setText(v, C.SIDECALL_VALUE_EPOCH, strconv.FormatInt(value, 10))
		return
	}
	v.kind = C.SIDECALL_VALUE_I64
	v.i64 = C.int64_t(value)
}

func (w *workspace) setUint(v *C.sidecall_value, value uint64, isDatetime bool) {
	switch {
	case isDatetime:
		w.setText(v, C.SIDECALL_VALUE_EPOCH, strconv.FormatUint(value, 10))
	case value > math.MaxInt64:
		v.kind = C.SIDECALL_VALUE_F64
		v.f64 = C.double(value)
	default:
		w.setInt(v, int64(value), false)
	}
}

func (w *workspace) setFloat(v *C.sidecall_value, value float64, isDatetime bool) {
	switch {
	case !isDatetime || math.IsInf(value, 0):
	case math.IsNaN(value):
		v.kind = C.SIDECALL_VALUE_MISSING
		return
	default:
		w.setText(v, C.SIDECALL_VALUE_EPOCH, strconv.FormatFloat(value, 'g', -1, 64))
		return
	}
	v.kind = C.SIDECALL_VALUE_F64
	v.f64 = C.double(value)
}

// setNumber writes a number of a JSON document that was read with UseNumber.
func (w *workspace) setNumber(v *C.sidecall_value, number json.Number, isDatetime bool) {
	text := number.String()
	if text == "" || !strings.ContainsRune("-0123456789", rune(text[0])) || !json.Valid([]byte(text)) {
		w.setText(v, C.SIDECALL_VALUE_INVALID, "a json.Number with another text")
	} else if isDatetime {
		w.setText(v, C.SIDECALL_VALUE_EPOCH, text)
	} else if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		w.setInt(v, whole, false)
	} else if real, err := strconv.ParseFloat(text, 64); err == nil {
		w.setFloat(v, real, false)
	} else {
		w.setText(v, C.SIDECALL_VALUE_INVALID, "a number beyond float64")
	}
}

func setTime(v *C.sidecall_value, kind C.int32_t, t time.Time) {
	v.kind = kind
	v.i64 = C.int64_t(t.Unix())
	v.nanoseconds = C.int32_t(t.Nanosecond())
}

// wallClock returns the time that shows the same in UTC.
func wallClock(t time.Time) time.Time {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return time.Date(year, month, day, hour, minute, second, t.Nanosecond(), time.UTC)
}

// valueOf returns a value of the answer: float64, int64, bool or string.
func (w *workspace) valueOf(at int) any {
	v := &w.answer[at]
	switch v.kind {
	case C.SIDECALL_VALUE_F64:
		return float64(v.f64)
	case C.SIDECALL_VALUE_I64:
		return int64(v.i64)
	case C.SIDECALL_VALUE_BOOL:
		return v.i64 != 0
	default:
		return w.textOf(at)
	}
}
