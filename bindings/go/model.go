// Model: opening, what it tells about itself, and JSON.

package sidecall

// #include "shim.h"
import "C"

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A Model is an open model. Open it once and keep it. Any number of goroutines may use it at once.
type Model struct {
	core *core
}

// core is what a model and its calls share. It lives until the model is closed and no function
// uses the handle any more.
type core struct {
	handle   *C.sidecall_model
	isRemote bool // the runs leave this process
	names
	columns    func() []ColumnSpec // only while the handle is held
	numColumns int
	plans      sync.Map // (*plan[In, Out])(nil), for its type -> *plan[In, Out]
	pool       pool
	numRuns    atomic.Int32  // remote ones that are under way
	numAlone   atomic.Uint32 // remote runs that began alone
}

// Open opens the model that `uri` names: a path, "shm:NAME" for a model that another process of
// this host serves, or another URI that sidecall.h describes. The caller closes the model.
//
// Errors: those of sidecall_model_open, such as CodeFileNotFound and CodeVerificationFailed.
func Open(uri string, opts ...Option) (*Model, error) {
	if strings.ContainsRune(uri, 0) {
		return nil, refuse(CodeInvalidArgument, "uri: expected a text without NUL, got one with a NUL")
	}
	name := C.CString(uri)
	defer C.free(unsafe.Pointer(name))
	return open(opts, func(raw *options, out **C.sidecall_model,
		room *C.sidecall_error) C.sidecall_status {
		return C.sidecall_model_open(name, &raw.c, out, room)
	})
}

// OpenBytes opens a model from the bytes of an ONNX file, which are copied. It cannot have external
// data.
//
// Errors: those of [Open].
func OpenBytes(data []byte, opts ...Option) (*Model, error) {
	return open(opts, func(raw *options, out **C.sidecall_model,
		room *C.sidecall_error) C.sidecall_status {
		bytes := unsafe.Pointer(bytesOf(unsafe.String(unsafe.SliceData(data), len(data))))
		return C.sidecall_model_open_bytes(bytes, C.size_t(len(data)), &raw.c, out, room)
	})
}

func open(opts []Option,
	f func(*options, **C.sidecall_model, *C.sidecall_error) C.sidecall_status) (*Model, error) {
	raw := newOptions(opts)
	defer raw.release()
	if raw.err != nil {
		return nil, raw.err
	}
	var handle *C.sidecall_model
	if err := withRoom(func(room *C.sidecall_error) C.sidecall_status {
		return f(raw, &handle, room)
	}); err != nil {
		return nil, err
	}
	c := &core{handle: handle, names: readNames(handle)}
	c.isRemote = C.sidecall_model_route(handle) != C.SIDECALL_ROUTE_IN_PROCESS
	c.pool.limit = raw.maxCalls
	c.pool.turns, c.pool.closing = make(chan struct{}), make(chan struct{})
	c.numColumns = int(C.sidecall_model_num_columns(handle))
	// There may be a million columns, so they are read when they are first needed.
	c.columns = sync.OnceValue(func() []ColumnSpec { return readColumns(handle, c.outputs) })
	model := &Model{core: c}
	runtime.AddCleanup(model, (*core).close, c)
	return model, nil
}

// Close releases the model. Runs that are under way end as usual, and calls that are open stay
// usable. It always returns nil, and may be called again.
func (m *Model) Close() error {
	m.core.close()
	runtime.KeepAlive(m)
	return nil
}

// use runs f while the handle is open.
func (m *Model) use(f func(*C.sidecall_model)) error {
	defer runtime.KeepAlive(m)
	if err := m.core.hold(); err != nil {
		return err
	}
	defer m.core.letGo()
	f(m.core.handle)
	return nil
}

func (m *Model) text(f func(*C.sidecall_model) *C.char) string {
	var text string
	_ = m.use(func(handle *C.sidecall_model) { text = C.GoString(f(handle)) })
	return text
}

// Name returns the name of the model in its contract; "" without one, and after Close.
func (m *Model) Name() string {
	return m.text(func(h *C.sidecall_model) *C.char { return C.sidecall_model_name(h) })
}

// Version returns the version of the model in its contract; "" without one.
func (m *Model) Version() string {
	return m.text(func(h *C.sidecall_model) *C.char { return C.sidecall_model_version(h) })
}

// ID returns the SHA-256 of the file and its external files, in hexadecimal.
func (m *Model) ID() string {
	return m.text(func(h *C.sidecall_model) *C.char { return C.sidecall_model_id(h) })
}

// Engine returns the engine that runs the model, with its version: "native 2".
func (m *Model) Engine() string {
	return m.text(func(h *C.sidecall_model) *C.char { return C.sidecall_model_engine(h) })
}

// EngineReason returns why this engine was taken.
func (m *Model) EngineReason() string {
	return m.text(func(h *C.sidecall_model) *C.char { return C.sidecall_model_engine_reason(h) })
}

// Warning returns why verification failed, if the model was opened with [VerifyWarn]; "" if it did
// not fail.
func (m *Model) Warning() string {
	return m.text(func(h *C.sidecall_model) *C.char { return C.sidecall_model_warning(h) })
}

// Contract returns the contract as JSON; "" for a file without one.
func (m *Model) Contract() string {
	return m.text(func(h *C.sidecall_model) *C.char { return C.sidecall_model_contract(h, nil) })
}

// Features returns the features, in the order of the contract.
func (m *Model) Features() []FeatureSpec { return append([]FeatureSpec(nil), m.core.features...) }

// Columns returns the columns, in the order of the answer.
func (m *Model) Columns() []ColumnSpec {
	var columns []ColumnSpec
	_ = m.use(func(*C.sidecall_model) { columns = append(columns, m.core.columns()...) })
	return columns
}

// Inputs returns the input tensors, in the order of the graph.
func (m *Model) Inputs() []TensorSpec { return copySpecs(m.core.inputs) }

// Outputs returns the output tensors, in the order of the graph.
func (m *Model) Outputs() []TensorSpec { return copySpecs(m.core.outputs) }

func copySpecs(specs []TensorSpec) []TensorSpec {
	specs = slices.Clone(specs)
	for i := range specs {
		specs[i].Shape = slices.Clone(specs[i].Shape)
	}
	return specs
}

// Feature, Column, Input and Output are indices of names in the model that gave them.
type (
	Feature int32
	Column  int32
	Input   int32
	Output  int32
)

// Feature looks a feature up. Do it once, not for each record.
//
// Errors: CodeUnknownName, whose text lists the names that exist.
func (m *Model) Feature(name string) (Feature, error) {
	index, err := m.find(C.SIDECALL_KIND_FEATURE, name)
	return Feature(index), err
}

// Column looks a column up, such as "label" or "probabilities.fraud".
//
// Errors: CodeUnknownName, whose text lists the names that exist.
func (m *Model) Column(name string) (Column, error) {
	index, err := m.find(C.SIDECALL_KIND_COLUMN, name)
	return Column(index), err
}

// Input looks an input tensor up.
//
// Errors: CodeUnknownName, whose text lists the names that exist.
func (m *Model) Input(name string) (Input, error) {
	index, err := m.find(C.SIDECALL_KIND_INPUT, name)
	return Input(index), err
}

// Output looks an output tensor up.
//
// Errors: CodeUnknownName, whose text lists the names that exist.
func (m *Model) Output(name string) (Output, error) {
	index, err := m.find(C.SIDECALL_KIND_OUTPUT, name)
	return Output(index), err
}

func (m *Model) find(kind C.int32_t, name string) (int32, error) {
	index := C.int32_t(-1)
	var err error
	if closed := m.use(func(handle *C.sidecall_model) {
		err = withRoom(func(room *C.sidecall_error) C.sidecall_status {
			return C.sidecall_model_find(handle, kind, bytesOf(name), C.size_t(len(name)), &index, room)
		})
	}); closed != nil {
		return -1, closed
	}
	return int32(index), err
}

// Verify runs the golden rows now. It returns the report as JSON, also with
// CodeVerificationFailed.
//
// Errors: CodeNoContract, CodeVerificationFailed, and those of a run.
func (m *Model) Verify() (string, error) {
	return m.takeText(func(handle *C.sidecall_model, out **C.sidecall_text,
		room *C.sidecall_error) C.sidecall_status {
		return C.sidecall_model_verify(handle, out, room)
	})
}

// PredictJSON predicts for a record, or for a list of records, as JSON text. Its deadline is that
// of [WithTimeout].
//
// Errors: those of sidecall_predict_json, with every fault of every record.
func (m *Model) PredictJSON(json string) (string, error) {
	return m.takeText(func(handle *C.sidecall_model, out **C.sidecall_text,
		room *C.sidecall_error) C.sidecall_status {
		return C.sidecall_predict_json(handle, bytesOf(json), C.size_t(len(json)), out, room)
	})
}

func (m *Model) takeText(f func(*C.sidecall_model, **C.sidecall_text,
	*C.sidecall_error) C.sidecall_status) (string, error) {
	var text string
	var err error
	if closed := m.use(func(handle *C.sidecall_model) {
		text, err = takeText(func(out **C.sidecall_text, room *C.sidecall_error) C.sidecall_status {
			return f(handle, out, room)
		})
	}); closed != nil {
		return "", closed
	}
	return text, err
}
