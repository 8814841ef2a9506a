// The options with which a model is opened.

package sidecall

// #include "shim.h"
import "C"

import (
	"strings"
	"time"
	"unsafe"
)

// Verify says what happens at open if golden rows give other answers than at export.
type Verify int32

const (
	VerifyError Verify = C.SIDECALL_VERIFY_ERROR // opening fails; the default
	VerifyWarn  Verify = C.SIDECALL_VERIFY_WARN  // opening succeeds; see [Model.Warning]
	VerifyOff   Verify = C.SIDECALL_VERIFY_OFF   // golden rows do not run
)

// Extra says what happens to a record that has a feature that the model does not know.
type Extra int32

const (
	ExtraError  Extra = C.SIDECALL_EXTRA_ERROR  // the record is refused; the default
	ExtraIgnore Extra = C.SIDECALL_EXTRA_IGNORE // such features are skipped
)

// Engine says which engine runs a file.
type Engine int32

const (
	// The native engine if the export proved the file on it, otherwise ONNX Runtime; the default.
	EngineAuto        Engine = C.SIDECALL_ENGINE_AUTO
	EngineNative      Engine = C.SIDECALL_ENGINE_NATIVE      // sidecall's own engine
	EngineONNXRuntime Engine = C.SIDECALL_ENGINE_ONNXRUNTIME // ONNX Runtime
)

// An Option changes how a model is opened.
type Option func(*options)

// WithVerify says what happens if golden rows give other answers than at export.
func WithVerify(verify Verify) Option {
	return func(o *options) { o.c.verify = C.int32_t(verify) }
}

// WithExtra says what happens to features that the model does not know.
func WithExtra(extra Extra) Option {
	return func(o *options) { o.c.extra = C.int32_t(extra) }
}

// WithEngine says which engine runs a file.
func WithEngine(engine Engine) Option {
	return func(o *options) { o.c.engine = C.int32_t(engine) }
}

// WithExec allows exec: URIs, which start a program. Leave it out if URIs may come from outside.
func WithExec() Option {
	return func(o *options) { o.c.allow_exec = 1 }
}

// WithTimeout sets the deadline of [Model.PredictJSON]; 0 is the default of the library.
func WithTimeout(timeout time.Duration) Option {
	return func(o *options) {
		o.c.timeout_ns = C.int64_t(timeout)
		if timeout == 0 {
			o.c.timeout_ns = -1
		}
	}
}

// WithWait says how long to wait for the server of a served model to start, at open and in a run
// that finds it restarting. Without it nothing waits; a negative time waits for ever.
func WithWait(wait time.Duration) Option {
	return func(o *options) { o.c.wait_ns = C.int64_t(max(wait, -1)) }
}

// WithONNXRuntime names the library of ONNX Runtime.
func WithONNXRuntime(path string) Option {
	return func(o *options) { o.onnxruntime = path }
}

// WithMaxCalls limits how many runs of [Model.Predict], [PredictAs], [Model.Run] and their
// relatives are under way at once; further ones wait for their turn, within their context. The
// default is 256. Each run needs memory, and a connection if the model is served.
func WithMaxCalls(calls int) Option {
	return func(o *options) { o.maxCalls = max(calls, 1) }
}

type options struct {
	c           C.sidecall_model_options
	onnxruntime string
	maxCalls    int
	err         error
}

func newOptions(opts []Option) *options {
	o := &options{maxCalls: 256}
	C.sidecall_model_options_init_sized(&o.c, C.sizeof_sidecall_model_options)
	for _, option := range opts {
		if option != nil {
			option(o)
		}
	}
	if strings.ContainsRune(o.onnxruntime, 0) {
		o.err = refuse(CodeInvalidArgument,
			"onnxruntime: expected a path without NUL, got one with a NUL")
	} else if o.onnxruntime != "" {
		o.c.onnxruntime = C.CString(o.onnxruntime)
	}
	return o
}

func (o *options) release() {
	C.free(unsafe.Pointer(o.c.onnxruntime))
}
