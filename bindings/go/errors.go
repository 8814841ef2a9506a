// Error, its codes and families, and the memory into which the library writes errors.

package sidecall

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
	"unsafe"
)

// A Code says what kind of error it is. It is an error itself, for errors.Is.
type Code int32

// Name returns the name of the code in every language, such as "DTYPE_MISMATCH".
func (c Code) Name() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("UNKNOWN(%d)", int32(c))
}

// Error returns the name of the code.
func (c Code) Error() string { return c.Name() }

// MarshalText returns the name of the code, which JSON then shows.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.Name()), nil }

// UnmarshalText reads the name of a code.
func (c *Code) UnmarshalText(text []byte) error {
	for code, name := range codeNames {
		if name == string(text) {
			*c = code
			return nil
		}
	}
	return fmt.Errorf("unknown error code %q", text)
}

// Family returns the group of the code.
func (c Code) Family() Family {
	switch c / 10 {
	case 1:
		return FamilyUsage
	case 2:
		return FamilyFile
	case 3:
		return FamilyModel
	case 4:
		return FamilyData
	case 5:
		return FamilyChannel
	case 6:
		return FamilyEngine
	}
	return FamilyInternal
}

// A Family groups the codes of errors.
type Family string

const (
	FamilyUsage    Family = "usage"    // the program used the library in a wrong way
	FamilyFile     Family = "file"     // the file cannot be read
	FamilyModel    Family = "model"    // the model cannot be used
	FamilyData     Family = "data"     // the data do not fit the model
	FamilyChannel  Family = "channel"  // the connection to another process failed
	FamilyEngine   Family = "engine"   // the engine failed
	FamilyInternal Family = "internal" // a bug of sidecall
)

// A Fault says what is wrong with one value, or with one row that the model refuses.
type Fault struct {
	Code     Code
	Row      int    // from 0; -1 if it concerns no particular row
	Feature  string // or the input, column or model step; "" for none
	Expected string // what was expected there
	Got      string // what was found in its place; never a value of the data
	Message  string // "feature 'age': expected float32, got string"
}

// An Error is what every function of this package returns when the library refuses something.
//
// errors.Is compares it with a [Code]. A timeout is also [context.DeadlineExceeded], a cancelled
// run is also [context.Canceled], and a missing file is also [fs.ErrNotExist].
type Error struct {
	Code      Code
	Retryable bool   // the same function may succeed later
	Row       int    // of the first fault, from 0; -1 for none
	Feature   string // what the first fault is about: a feature, input, column or step
	Expected  string // what was expected there
	Got       string // what was found in its place; never a value of the data
	Message   string // one line, the same in every language
	NumFaults int    // all faults, also those that were not kept
	// What is wrong with each value or row; at most 1000. Empty if no single value or row is to
	// blame, for example for a text that is not JSON.
	Faults []Fault

	cause error // of the context that ended the call
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns why the context of the call ended, if it did: [context.DeadlineExceeded],
// [context.Canceled], or the cause of the context.
func (e *Error) Unwrap() error { return e.cause }

// Family returns the group of the code.
func (e *Error) Family() Family { return e.Code.Family() }

// Is reports whether the error has the code `target`, or is what the standard library calls so.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Code == CodeTimeout
	case context.Canceled:
		return e.Code == CodeCancelled
	case fs.ErrNotExist:
		return e.Code == CodeFileNotFound
	}
	code, ok := target.(Code)
	return ok && code == e.Code
}

// The largest number of faults that the library keeps for one run.
const maxFaults = 1000

// newError copies what the library wrote.
func newError(status C.sidecall_status, room *C.sidecall_error) *Error {
	e := &Error{Code: Code(status), Row: -1}
	if room == nil {
		e.Message = "out of memory"
		return e
	}
	e.Retryable = room.retryable != 0
	e.Row = int(room.row)
	e.Feature = C.GoString(&room.name[0])
	e.Expected = C.GoString(&room.expected[0])
	e.Got = C.GoString(&room.got[0])
	e.Message = C.GoString(&room.message[0])
	e.NumFaults = int(room.num_faults)
	held := min(room.num_faults, room.faults_capacity)
	if held == 0 {
		return e
	}
	e.Faults = make([]Fault, held)
	for i, fault := range unsafe.Slice(room.faults, held) {
		e.Faults[i] = Fault{
			Code:     Code(fault.status),
			Row:      int(fault.row),
			Feature:  C.GoString(&fault.name[0]),
			Expected: C.GoString(&fault.expected[0]),
			Got:      C.GoString(&fault.got[0]),
			Message:  C.GoString(&fault.message[0]),
		}
	}
	return e
}

// refuse returns an error that this package finds before it calls the library.
func refuse(code Code, format string, values ...any) *Error {
	return &Error{Code: code, Row: -1, Message: fmt.Sprintf(format, values...)}
}

// contextError returns why a run does not begin: the context is done.
func contextError(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	e := refuse(CodeCancelled, "the context was cancelled before the run began")
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e = refuse(CodeTimeout, "the deadline of the context passed before the run began")
		e.Retryable = true
	}
	e.cause = context.Cause(ctx)
	return e
}

// withCause adds why the context ended, if it did. The library may notice the deadline earlier than
// the context.
func withCause(ctx context.Context, err error) error {
	e, ok := err.(*Error)
	if !ok || ctx.Done() == nil {
		return err
	}
	if ctx.Err() != nil {
		e.cause = context.Cause(ctx)
	} else if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		e.cause = context.DeadlineExceeded
	}
	return e
}

// Memory into which the library writes errors, for functions that belong to no call.
var rooms struct {
	sync.Mutex
	idle []*C.sidecall_error
}

// withRoom calls a function of the library and returns its error.
func withRoom(f func(*C.sidecall_error) C.sidecall_status) error {
	rooms.Lock()
	var room *C.sidecall_error
	if n := len(rooms.idle); n > 0 {
		room, rooms.idle = rooms.idle[n-1], rooms.idle[:n-1]
	}
	rooms.Unlock()
	if room == nil {
		room = C.sidecall_error_open(maxFaults)
	}
	var err error
	if status := f(room); status != C.SIDECALL_OK {
		err = newError(status, room)
	}
	if room != nil {
		rooms.Lock()
		rooms.idle = append(rooms.idle, room)
		rooms.Unlock()
	}
	return err
}
