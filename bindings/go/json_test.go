// Reads JSON whose objects keep their order, and compares it with answers.

package sidecall_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
)

// members is a JSON object whose order counts.
type members[T any] []member[T]

type member[T any] struct {
	name  string
	value T
}

func (m *members[T]) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil {
		return err
	}
	*m = members[T]{} // an empty object is not an absent one
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		one := member[T]{name: name.(string)}
		if err := decoder.Decode(&one.value); err != nil {
			return err
		}
		*m = append(*m, one)
	}
	return nil
}

func near(got, wanted, tolerance float64) bool {
	if math.IsInf(wanted, 0) || math.IsNaN(wanted) {
		return got == wanted || (math.IsNaN(got) && math.IsNaN(wanted))
	}
	return math.Abs(got-wanted) <= tolerance
}

// value is any JSON; objects keep the order of their members.
type value struct{ any }

func (v *value) UnmarshalJSON(text []byte) error {
	switch trimmed := bytes.TrimSpace(text); trimmed[0] {
	case '{':
		var object members[value]
		err := object.UnmarshalJSON(text)
		v.any = object
		return err
	case '[':
		list := []value{}
		err := json.Unmarshal(text, &list)
		v.any = list
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(&v.any)
}

func parse(text string) any {
	var v value
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	return v.any
}

// isSame compares an expected result with one that was parsed from JSON, or with one of Predict,
// whose objects have no order. In JSON a number that is not finite is null.
func isSame(wanted, got any, tolerance float64) bool {
	switch w := wanted.(type) {
	case members[value]:
		if inOrder, ok := got.(members[value]); ok {
			for i := range inOrder {
				if i >= len(w) || inOrder[i].name != w[i].name ||
					!isSame(w[i].value.any, inOrder[i].value.any, tolerance) {
					return false
				}
			}
			return len(inOrder) == len(w)
		}
		found := reflect.ValueOf(got)
		if found.Kind() != reflect.Map || found.Len() != len(w) {
			return false
		}
		for _, m := range w {
			member := found.MapIndex(reflect.ValueOf(m.name))
			if !member.IsValid() || !isSame(m.value.any, member.Interface(), tolerance) {
				return false
			}
		}
		return true
	case []value:
		found := reflect.ValueOf(got)
		if found.Kind() != reflect.Slice || found.Len() != len(w) {
			return false
		}
		for i := range w {
			item := found.Index(i).Interface()
			if inner, ok := item.(value); ok {
				item = inner.any
			}
			if !isSame(w[i].any, item, tolerance) {
				return false
			}
		}
		return true
	case string:
		switch g := got.(type) {
		case float64:
			return near(g, real(w), 0)
		case nil:
			return w == "nan" || w == "inf" || w == "-inf"
		}
		return got == w
	case json.Number:
		switch g := got.(type) {
		case int64:
			return w.String() == fmt.Sprint(g)
		case json.Number:
			return w == g || near(real(g), real(w), tolerance)
		case float64:
			return near(g, real(w), tolerance)
		}
		return false
	}
	return wanted == got
}
