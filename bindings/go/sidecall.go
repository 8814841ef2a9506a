// Package sidecall calls machine-learning models that were trained in Python.
//
// A model is a file that sidecall.export has written in Python, or a model that another process of
// this host serves. The same functions call both:
//
//	model, err := sidecall.Open("fraud.onnx") // or "shm:fraud"
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer model.Close()
//
//	type Order struct {
//		Amount  float64 `sidecall:"amount"`
//		Country *string `sidecall:"country"` // nil is a missing value
//	}
//	type Verdict struct {
//		Label string  `sidecall:"label"`
//		Fraud float64 `sidecall:"probabilities.fraud"`
//	}
//	verdict, err := sidecall.PredictAs[Order, Verdict](ctx, model, Order{Amount: 12.5})
//
// # Ways to call
//
//   - [PredictAs] and [NewPredictor]: records as structs. The names are looked up once for each
//     type.
//   - [Model.Predict]: a record as a map, for programs that do not know their model.
//   - [Model.PredictJSON]: a record, or a list of records, as JSON text.
//   - [Model.Run]: whole tensors.
//   - [Model.NewCall]: a reusable workspace for many rows or tensors, without copies.
//
// Any number of goroutines may use a [Model] and a [Predictor] at once. A [Call] belongs to one
// goroutine at a time.
//
// # Contexts
//
// The deadline of a context is the deadline of the run, and cancelling the context cancels the run.
// Without a deadline a run of a file waits as long as it takes, and a run of a served model at most
// for the timeout of its server, 30 seconds by default.
//
// # Errors
//
// Errors of the library are of type [*Error], and have the same codes and texts in every language:
//
//	var failure *sidecall.Error
//	if errors.As(err, &failure) && failure.Family() == sidecall.FamilyData {
//		for _, fault := range failure.Faults {
//			log.Print(fault.Message)
//		}
//	}
//
// A [Code] is an error too, so errors.Is(err, sidecall.CodeTimeout) works.
//
// # Linking
//
// The package needs cgo. It links the static library, so that a program needs no other file. With
// the build tag sidecall_shared it uses libsidecall.so, which pkg-config must know. ONNX Runtime is
// loaded only for models that the native engine does not run.
package sidecall

// #cgo CFLAGS: -I${SRCDIR}/include -I${SRCDIR}/../../include
// #include "shim.h"
import "C"

import "unsafe"

// Version returns the version of the library, such as "0.1.0".
func Version() string {
	return C.GoString(C.sidecall_version())
}

// EngineDescription finds and loads ONNX Runtime, as the first model that needs it would, and
// describes as JSON what was found.
//
// Errors: CodeEngineNotFound, CodeEngineTooOld, CodeEngine.
func EngineDescription(opts ...Option) (string, error) {
	raw := newOptions(opts)
	defer raw.release()
	if raw.err != nil {
		return "", raw.err
	}
	return takeText(func(out **C.sidecall_text, room *C.sidecall_error) C.sidecall_status {
		return C.sidecall_engine_describe(&raw.c, out, room)
	})
}

// takeText calls a function of the library that returns a text.
func takeText(f func(**C.sidecall_text, *C.sidecall_error) C.sidecall_status) (string, error) {
	var text *C.sidecall_text
	if err := withRoom(func(room *C.sidecall_error) C.sidecall_status {
		return f(&text, room)
	}); text == nil {
		return "", err
	} else {
		defer C.sidecall_text_close(text)
		return goText(text.data, text.length), err
	}
}

// goText copies a text of the library.
func goText(data *C.char, length C.size_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(data)), length))
}

var noText byte

// bytesOf returns the address of the bytes of a text. It is not NULL, also for an empty text.
func bytesOf(text string) *C.char {
	if text == "" {
		return (*C.char)(unsafe.Pointer(&noText))
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text)))
}
