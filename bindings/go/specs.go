// What a model has: features, columns, inputs, outputs and their types.

package sidecall

// #include "shim.h"
import "C"

import "unsafe"

// A Dtype is an element type, by its number in ONNX.
type Dtype int32

// Name returns the name of the type in every language, such as "float32".
func (d Dtype) Name() string { return C.GoString(C.sidecall_dtype_name(C.int32_t(d))) }

// String returns the name of the type.
func (d Dtype) String() string { return d.Name() }

// Bits returns the bits of one element: 32 for float32, 4 for int4; 0 for string and datetime.
func (d Dtype) Bits() int { return int(C.sidecall_dtype_bits(C.int32_t(d))) }

// A FeatureSpec describes one feature of the contract: a key of a record.
type FeatureSpec struct {
	Name     string
	Dtype    Dtype  // Float32, Float64, Int64, Bool, String or Datetime
	Nullable bool   // the model accepts a missing value
	Unit     string // of a datetime: what its tensor counts since 1970: "s", "ms", "us" or "ns"
	Zone     string // of a datetime: its time zone; "" for the time of the wall clock
}

// Form says where the value of a column stands in the answer to a record.
type Form int32

const (
	FormScalar  Form = C.SIDECALL_FORM_SCALAR  // {"label": value}
	FormMember  Form = C.SIDECALL_FORM_MEMBER  // {"probabilities": {key: value}}
	FormElement Form = C.SIDECALL_FORM_ELEMENT // {"prediction": [value]}
)

// A ColumnSpec describes one value that the model returns for each row.
type ColumnSpec struct {
	Name   string // "label", "probabilities.fraud"
	Output string // the output tensor that it belongs to: "probabilities"
	Key    string // the class ("fraud") or the position ("0"); "" for a scalar
	Dtype  Dtype
	Form   Form
}

// A TensorSpec describes one input or output of the graph.
type TensorSpec struct {
	Name    string
	Dtype   Dtype
	Shape   []int64 // -1 for a free dimension
	HasRows bool    // the first dimension is the number of rows
}

// names are what a model has, read once when it is opened.
type names struct {
	features []FeatureSpec
	inputs   []TensorSpec
	outputs  []TensorSpec

	featureIndex map[string]int32
}

func readNames(model *C.sidecall_model) names {
	var n names
	for i := range C.sidecall_model_num_inputs(model) {
		n.inputs = append(n.inputs, newTensorSpec(C.sidecall_model_input_spec(model, i)))
	}
	for i := range C.sidecall_model_num_outputs(model) {
		n.outputs = append(n.outputs, newTensorSpec(C.sidecall_model_output_spec(model, i)))
	}
	n.featureIndex = map[string]int32{}
	for i := range C.sidecall_model_num_features(model) {
		spec := C.sidecall_model_feature_spec(model, i)
		n.features = append(n.features, FeatureSpec{
			Name:     C.GoString(spec.name),
			Dtype:    Dtype(spec.dtype),
			Nullable: spec.nullable != 0,
			Unit:     C.GoString(spec.unit),
			Zone:     C.GoString(spec.zone),
		})
		n.featureIndex[n.features[i].Name] = int32(i)
	}
	return n
}

// readColumns reads the columns of an open model, of which there may be a million.
func readColumns(model *C.sidecall_model, outputs []TensorSpec) []ColumnSpec {
	columns := make([]ColumnSpec, C.sidecall_model_num_columns(model))
	for i := range columns {
		spec := C.sidecall_model_column_spec(model, C.int32_t(i))
		columns[i] = ColumnSpec{
			Name:   C.GoString(spec.name),
			Output: outputs[spec.output].Name,
			Key:    C.GoString(spec.key),
			Dtype:  Dtype(spec.dtype),
			Form:   Form(spec.form),
		}
	}
	return columns
}

func newTensorSpec(spec *C.sidecall_tensor_spec) TensorSpec {
	return TensorSpec{
		Name:    C.GoString(spec.name),
		Dtype:   Dtype(spec.dtype),
		Shape:   copyDims(spec.dims, spec.rank),
		HasRows: spec.has_rows != 0,
	}
}

func copyDims(dims *C.int64_t, rank C.int32_t) []int64 {
	shape := make([]int64, max(rank, 0))
	copy(shape, unsafe.Slice((*int64)(unsafe.Pointer(dims)), len(shape)))
	return shape
}
