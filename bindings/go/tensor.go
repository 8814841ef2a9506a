// Tensors, and views of the memory of a call.

package sidecall

// #include "shim.h"
//
// #cgo noescape sidecall_go_copy_input
// #cgo nocallback sidecall_go_copy_input
import "C"

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"unsafe"
)

// Element is a type of Go that an element of a tensor can have.
type Element interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool | string
}

// A Tensor is a tensor in the memory of Go, in C order: the last dimension varies fastest.
type Tensor struct {
	Dtype Dtype
	Shape []int64
	// A slice of an [Element] type. For types that Go does not have, such as float16, it is a
	// []byte with their bytes.
	Data any
}

// NewTensor returns a tensor of these elements. Without a shape it is a scalar.
func NewTensor[T Element](data []T, shape ...int64) Tensor {
	return Tensor{dtypeOf[T](), shape, data}
}

func dtypeOf[T Element]() Dtype {
	var zero T
	switch any(zero).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case bool:
		return Bool
	}
	return String
}

// flat is a tensor as the library takes it.
type flat struct {
	data    unsafe.Pointer
	bytes   uint64
	offsets []int64 // of strings
}

func flatten(t Tensor) (flat, error) {
	if _, isText := t.Data.([]string); isText != (t.Dtype == String) {
		return flat{}, wrongData(t)
	}
	switch data := t.Data.(type) {
	case []string:
		return flattenText(data), nil
	case []byte:
		return flat{data: unsafe.Pointer(unsafe.SliceData(data)), bytes: uint64(len(data))}, nil
	case []float32:
		return flattenNumbers(t, data)
	case []float64:
		return flattenNumbers(t, data)
	case []int8:
		return flattenNumbers(t, data)
	case []int16:
		return flattenNumbers(t, data)
	case []int32:
		return flattenNumbers(t, data)
	case []int64:
		return flattenNumbers(t, data)
	case []uint16:
		return flattenNumbers(t, data)
	case []uint32:
		return flattenNumbers(t, data)
	case []uint64:
		return flattenNumbers(t, data)
	case []bool:
		return flattenNumbers(t, data)
	}
	return flat{}, wrongData(t)
}

func wrongData(t Tensor) error {
	return refuse(CodeInvalidArgument, "tensor of type %s: expected a slice of such elements, got %T",
		t.Dtype, t.Data)
}

func flattenNumbers[T Element](t Tensor, data []T) (flat, error) {
	if dtype := dtypeOf[T](); dtype != t.Dtype {
		return flat{}, wrongData(t)
	}
	var zero T
	return flat{
		data:  unsafe.Pointer(unsafe.SliceData(data)),
		bytes: uint64(len(data)) * uint64(unsafe.Sizeof(zero)),
	}, nil
}

func flattenText(texts []string) flat {
	total := 0
	for _, text := range texts {
		total += len(text)
	}
	joined := make([]byte, 0, max(total, 1))
	offsets := make([]int64, 1, len(texts)+1)
	for _, text := range texts {
		joined = append(joined, text...)
		offsets = append(offsets, int64(len(joined)))
	}
	return flat{unsafe.Pointer(unsafe.SliceData(joined)), uint64(total), offsets}
}

// Run runs the model once on whole tensors, by the names of the inputs, and returns all outputs.
// The tensors are copied.
//
// Errors: CodeUnknownName, CodeMissingInput, CodeDtypeMismatch, CodeShapeMismatch, CodeTimeout and
// CodeCancelled by the context, and those of sidecall_call_copy_input and sidecall_call_run.
func (m *Model) Run(ctx context.Context, inputs map[string]Tensor) (map[string]Tensor, error) {
	defer runtime.KeepAlive(m)
	indices := make([]Input, 0, len(inputs))
	tensors := make([]Tensor, 0, len(inputs))
	for _, spec := range m.core.inputs { // the first wrong input decides the error
		if tensor, ok := inputs[spec.Name]; ok {
			index, err := m.Input(spec.Name)
			if err != nil {
				return nil, err
			}
			indices, tensors = append(indices, index), append(tensors, tensor)
		}
	}
	if len(indices) < len(inputs) {
		for name := range inputs {
			if _, err := m.Input(name); err != nil {
				return nil, err
			}
		}
	}
	c := m.core
	w, err := c.take(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer c.give(w, false)
	return w.runTensors(ctx, indices, tensors)
}

func (w *workspace) runTensors(ctx context.Context, indices []Input,
	tensors []Tensor) (map[string]Tensor, error) {
	for i, tensor := range tensors {
		if err := w.copyInput(indices[i], tensor); err != nil {
			return nil, err
		}
	}
	w.setNothing()
	if err := w.run(ctx); err != nil {
		return nil, err
	}
	outputs := make(map[string]Tensor, len(w.core.outputs))
	for i, spec := range w.core.outputs {
		view, err := w.output(Output(i))
		if err != nil {
			return nil, err
		}
		outputs[spec.Name] = view.Tensor()
	}
	return outputs, nil
}

func (w *workspace) copyInput(input Input, tensor Tensor) error {
	f, err := flatten(tensor)
	if err != nil {
		return err
	}
	var one int64
	dims := &one // the library does not read it for a scalar
	if len(tensor.Shape) > 0 {
		dims = &tensor.Shape[0]
	}
	return w.check(C.sidecall_go_copy_input(w.work.call, C.int32_t(input), C.int32_t(tensor.Dtype),
		(*C.int64_t)(unsafe.Pointer(dims)), C.int32_t(len(tensor.Shape)), f.data, C.uint64_t(f.bytes),
		(*C.int64_t)(unsafe.Pointer(unsafe.SliceData(f.offsets))), w.work.err))
}

// A View is an input or output in the memory of a call. It is valid until the next run, resize or
// reshape of the call, and until the call is closed.
type View struct {
	dtype    Dtype
	shape    []int64 // nil if only a run can tell
	data     unsafe.Pointer
	bytes    uint64
	offsets  []int64
	readOnly bool
	count    int
}

func newView(c *C.sidecall_view) View {
	v := View{
		dtype:    Dtype(c.dtype),
		data:     c.data,
		bytes:    uint64(c.data_bytes),
		readOnly: c.flags&C.SIDECALL_VIEW_READ_ONLY != 0,
	}
	if c.rank < 0 {
		return v
	}
	v.shape = copyDims(c.dims, c.rank)
	v.count = 1
	for _, size := range v.shape {
		v.count *= int(size)
	}
	if c.offsets != nil {
		v.offsets = unsafe.Slice((*int64)(unsafe.Pointer(c.offsets)), v.count+1)
	}
	return v
}

// Dtype returns the type of the elements.
func (v View) Dtype() Dtype { return v.dtype }

// Shape returns the sizes; nil if only a run can tell them.
func (v View) Shape() []int64 { return v.shape }

// IsReadOnly tells that writing to the memory would crash the program: it is that of another
// process.
func (v View) IsReadOnly() bool { return v.readOnly }

// Bytes returns the memory of all elements; nil for strings, and before a run of an output.
func (v View) Bytes() []byte {
	if v.data == nil || v.dtype == String || v.bytes > math.MaxInt {
		return nil
	}
	return unsafe.Slice((*byte)(v.data), v.bytes)
}

// Text returns a copy of one string, by its position in C order. It panics if there is no such
// string, as before a run. The strings of an input cannot be read.
func (v View) Text(index int) string {
	begin, end := v.offsets[index], v.offsets[index+1]
	return string(unsafe.Slice((*byte)(unsafe.Add(v.data, begin)), end-begin))
}

// Tensor returns a copy, which may be kept.
func (v View) Tensor() Tensor {
	t := Tensor{Dtype: v.dtype, Shape: slices.Clone(v.shape)}
	switch v.dtype {
	case Float32:
		t.Data = copyOf[float32](v)
	case Float64:
		t.Data = copyOf[float64](v)
	case Int8:
		t.Data = copyOf[int8](v)
	case Int16:
		t.Data = copyOf[int16](v)
	case Int32:
		t.Data = copyOf[int32](v)
	case Int64:
		t.Data = copyOf[int64](v)
	case Uint16:
		t.Data = copyOf[uint16](v)
	case Uint32:
		t.Data = copyOf[uint32](v)
	case Uint64:
		t.Data = copyOf[uint64](v)
	case Bool:
		t.Data = copyOf[bool](v)
	case String:
		texts := make([]string, max(len(v.offsets)-1, 0))
		for i := range texts {
			texts[i] = v.Text(i)
		}
		t.Data = texts
	default:
		t.Data = append([]byte{}, v.Bytes()...)
	}
	return t
}

func copyOf[T Element](v View) []T {
	elements, _ := Elements[T](v)
	return append([]T{}, elements...)
}

// Elements returns the elements in the memory of the call, without copying them. Strings have no
// such form: use [View.Text].
//
// Errors: CodeDtypeMismatch if the elements have another type; CodeNotRun for an output before a
// run.
func Elements[T Element](v View) ([]T, error) {
	if v.dtype != dtypeOf[T]() || v.dtype == String {
		return nil, refuse(CodeDtypeMismatch, "elements of a view: expected %s, got %s", v.dtype,
			fmt.Sprintf("%T", *new(T)))
	}
	if v.shape != nil && v.count == 0 {
		return []T{}, nil
	}
	if v.data == nil {
		return nil, refuse(CodeNotRun, "elements of a view: expected an output after a run, got none")
	}
	return unsafe.Slice((*T)(v.data), v.count), nil
}
