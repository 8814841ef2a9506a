// A call of the library with its memory, and how it runs.

package sidecall

// #include "shim.h"
//
// #cgo noescape sidecall_call_cancel
// #cgo nocallback sidecall_call_cancel
// #cgo noescape sidecall_call_expected_ns
// #cgo nocallback sidecall_call_expected_ns
// #cgo noescape sidecall_go_run
// #cgo nocallback sidecall_go_run
import "C"

import (
	"context"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// A workspace is a call of the library, with memory of C for one record and its answer. One
// goroutine uses it at a time.
type workspace struct {
	core *core
	work *C.sidecall_go_work // memory of C

	values  []C.sidecall_value // one for each feature; memory of C
	numbers []C.double         // instead, if all are doubles; memory of C; nil before the first use
	answer  []C.sidecall_value // memory of C
	owner   any                // which plan has filled `values` last; its features alone are set
	isDirty bool               // the call remembers names that the model does not know
	row     C.int64_t          // of the record that is being set

	pins map[Input]*runtime.Pinner // memory of Go that inputs are bound to

	held any // a *pair of the predictor that used the workspace last

	text     []byte // memory of C for the texts of a record
	textUsed int
	oldText  []unsafe.Pointer // chunks of this record that became too small

	lastTexts []string // the last text of each column that was read

	queue *queue // nil before the first run that it takes
	tag   C.uint64_t
	ended chan C.sidecall_status // receives the outcome of a run of the queue
}

// newWorkspace returns a workspace without a call.
func (c *core) newWorkspace() (*workspace, error) {
	w := &workspace{core: c}
	w.work = (*C.sidecall_go_work)(C.calloc(1, C.sizeof_sidecall_go_work))
	w.work.err = C.sidecall_error_open(maxFaults)
	w.values = allocateValues(len(c.features))
	w.work.num_features = C.int64_t(len(w.values))
	w.pins = map[Input]*runtime.Pinner{}
	if w.work.err == nil {
		w.close()
		return nil, newError(C.SIDECALL_OUT_OF_MEMORY, nil)
	}
	return w, nil
}

func allocateValues(count int) []C.sidecall_value {
	memory := C.calloc(C.size_t(max(count, 1)), C.sizeof_sidecall_value)
	return unsafe.Slice((*C.sidecall_value)(memory), count)
}

// close releases everything. A run that was given up goes on in the library.
func (w *workspace) close() {
	C.sidecall_call_close(w.work.call)
	if w.queue != nil {
		w.queue.unregister(w)
	}
	for _, pinner := range w.pins {
		pinner.Unpin()
	}
	C.sidecall_error_close(w.work.err)
	C.free(unsafe.Pointer(w.work))
	C.free(unsafe.Pointer(unsafe.SliceData(w.values)))
	C.free(unsafe.Pointer(unsafe.SliceData(w.numbers)))
	C.free(unsafe.Pointer(unsafe.SliceData(w.answer)))
	C.free(unsafe.Pointer(unsafe.SliceData(w.text)))
	for _, chunk := range w.oldText {
		C.free(chunk)
	}
}

func (w *workspace) address() C.sidecall_go_address { return addressOf(w.work) }

func addressOf[T any](memory *T) C.sidecall_go_address {
	return C.sidecall_go_address(uintptr(unsafe.Pointer(memory)))
}

func (w *workspace) check(status C.sidecall_status) error {
	if status == C.SIDECALL_OK {
		return nil
	}
	return newError(status, w.work.err)
}

// begin prepares `values` for a record of this owner: a plan, which sets the same features each
// time, or nil.
func (w *workspace) begin(owner any) {
	w.textUsed = 0
	for _, chunk := range w.oldText {
		C.free(chunk)
	}
	w.oldText = w.oldText[:0]
	if owner == nil || owner != w.owner {
		clear(w.values)
		w.owner = owner
	}
}

// setValues lets the next run set `values`.
func (w *workspace) setValues() {
	w.work.values, w.work.numbers = unsafe.SliceData(w.values), nil
}

// setNumbers lets the next run set `numbers`, which it returns.
func (w *workspace) setNumbers() []C.double {
	if w.numbers == nil {
		memory := C.calloc(C.size_t(len(w.values)), C.sizeof_double)
		w.numbers = unsafe.Slice((*C.double)(memory), len(w.values))
	}
	w.work.values, w.work.numbers = nil, unsafe.SliceData(w.numbers)
	return w.numbers
}

// setNothing lets the next run use the inputs that are there, and read no answer.
func (w *workspace) setNothing() {
	w.work.values, w.work.numbers, w.work.num_columns = nil, nil, 0
}

// copyText copies a text of Go to the workspace, until the next record begins.
func (w *workspace) copyText(text string) *C.char {
	if len(w.text)-w.textUsed < len(text) {
		size := max(1024, 2*len(w.text), len(text))
		if w.text != nil {
			w.oldText = append(w.oldText, unsafe.Pointer(unsafe.SliceData(w.text)))
		}
		w.text = unsafe.Slice((*byte)(C.malloc(C.size_t(size))), size)
		w.textUsed = 0
	}
	chunk := w.text[w.textUsed:]
	w.textUsed += copy(chunk, text)
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(chunk)))
}

// expect prepares for the columns of an answer: those at `columns`, which is memory of C, or all.
func (w *workspace) expect(columns *C.int32_t, count int) {
	if count > len(w.answer) {
		C.free(unsafe.Pointer(unsafe.SliceData(w.answer)))
		w.answer = allocateValues(count)
		w.work.answer = unsafe.SliceData(w.answer)
		w.lastTexts = make([]string, count)
	}
	w.work.columns, w.work.num_columns = columns, C.int64_t(count)
}

// textOf returns a text of the answer. Most columns of text have few values, so it keeps the last
// one instead of allocating the same again.
func (w *workspace) textOf(at int) string {
	value := &w.answer[at]
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(value.text)), value.length)
	if w.lastTexts[at] != string(bytes) {
		w.lastTexts[at] = string(bytes)
	}
	return w.lastTexts[at]
}

// timeoutOf returns what is left of the deadline of a context.
func timeoutOf(ctx context.Context) (C.int64_t, error) {
	if err := contextError(ctx); err != nil {
		return 0, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return -1, nil
	}
	return C.int64_t(max(time.Until(deadline), 1)), nil
}

// run runs the call as `work` says. A run of a file uses the thread of the goroutine.
func (w *workspace) run(ctx context.Context) error {
	timeout, err := timeoutOf(ctx)
	if err != nil {
		return err
	}
	var status C.sidecall_status
	if w.core.isRemote {
		status = w.runRemote(ctx, timeout)
	} else if ctx.Done() == nil || C.sidecall_call_expected_ns(w.work.call) < shortRun {
		status = C.sidecall_go_run(w.address(), timeout)
	} else {
		status = w.runWatched(ctx, timeout)
	}
	if status == C.SIDECALL_OK {
		return nil
	}
	return withCause(ctx, newError(status, w.work.err))
}

// runRemote runs the call in another process. A run that is alone in its model uses the thread of
// the goroutine, because that is fastest.
func (w *workspace) runRemote(ctx context.Context, timeout C.int64_t) C.sidecall_status {
	c := w.core
	defer c.numRuns.Add(-1)
	isAlone := c.numRuns.Add(1) == 1
	// A run on this thread keeps a processor of Go busy. If that is the only one, other goroutines
	// could not start their runs.
	if isAlone && c.numAlone.Add(1)%16 == 0 {
		runtime.Gosched()
		isAlone = c.numRuns.Load() == 1
	}
	if isAlone {
		return w.runWatched(ctx, timeout)
	}
	return w.runQueued(ctx, timeout)
}

// Watching a context takes about a microsecond and allocates, so runs in this process that are
// shorter than this are not interrupted.
const shortRun = C.int64_t(50 * time.Microsecond)

// runWatched runs the call on this thread, and cancels the run when the context is done.
func (w *workspace) runWatched(ctx context.Context, timeout C.int64_t) C.sidecall_status {
	if ctx.Done() == nil {
		return C.sidecall_go_run(w.address(), timeout)
	}
	run := &watchedRun{call: w.work.call}
	run.deadline, _ = ctx.Deadline()
	stop := context.AfterFunc(ctx, run.cancel)
	status := C.sidecall_go_run(w.address(), timeout)
	run.end() // the call may be closed afterwards
	stop()
	return status
}

// A watchedRun is a run whose context may end it. It calls no function of the context, which may
// panic.
type watchedRun struct {
	sync.Mutex
	call     *C.sidecall_call // nil after the run
	deadline time.Time
}

func (r *watchedRun) end() {
	r.Lock()
	r.call = nil
	r.Unlock()
}

// cancel ends the run. Before it has begun, cancelling it does nothing, so repeat it until it is
// over.
func (r *watchedRun) cancel() {
	if hasPassed(r.deadline) {
		return
	}
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		r.Lock()
		C.sidecall_call_cancel(r.call)
		isOver := r.call == nil
		r.Unlock()
		if isOver {
			return
		}
		time.Sleep(pause)
	}
}

// hasPassed tells whether the deadline of a context has passed; it is zero if there is none. The
// library itself ends a run at its deadline.
func hasPassed(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

// isReusable tells whether a workspace can be used again after a run that ended so.
func isReusable(err error) bool {
	e, ok := err.(*Error)
	return !ok || (e.Code != CodeTimeout && e.Code != CodeCancelled)
}
