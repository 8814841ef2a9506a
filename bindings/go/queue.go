// Runs on other processes and hosts that many goroutines wait for.

package sidecall

// #include "shim.h"
//
// #cgo noescape sidecall_go_finish
// #cgo nocallback sidecall_go_finish
// #cgo noescape sidecall_go_submit
// #cgo nocallback sidecall_go_submit
// #cgo noescape sidecall_go_take
// #cgo nocallback sidecall_go_take
// #cgo noescape sidecall_queue_cancel
// #cgo nocallback sidecall_queue_cancel
import "C"

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A queue is the completion queue of this process. The runs of all models share it, so that one
// thread at most waits for them. A goroutine that submits a run waits on a channel; while there are
// such runs, one goroutine takes their completions, many in one call of C.
type queue struct {
	handle *C.sidecall_queue
	// Runs that were counted after their submit, less those that were taken. A run may be taken
	// before it is counted. The run that makes it 1 starts the goroutine that takes, which ends when
	// none is left.
	pending atomic.Int64

	mutex  sync.Mutex
	places []chan C.sidecall_status // by the tag of a run: receives its outcome
	free   []C.uint64_t             // tags that no workspace has
}

// theQueue is opened by the first run that needs it, and never closed.
var theQueue = sync.OnceValues(func() (*queue, error) {
	q := &queue{}
	// The limit of a model is that of its workspaces.
	options := C.sidecall_queue_options{struct_size: C.sizeof_sidecall_queue_options,
		capacity: maxSubmitted, max_started: maxSubmitted}
	err := withRoom(func(room *C.sidecall_error) C.sidecall_status {
		return C.sidecall_queue_open(&options, &q.handle, room)
	})
	return q, err
})

const (
	maxSubmitted = 1 << 20 // the most that the library allows
	maxTaken     = 64      // at once
	// How often other goroutines may run before the one that takes waits in C, which keeps a
	// processor of Go busy for a while.
	maxYields = 4
)

// register gives a workspace its tag.
func (q *queue) register(w *workspace) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if n := len(q.free); n > 0 {
		w.tag, q.free = q.free[n-1], q.free[:n-1]
	} else {
		w.tag = C.uint64_t(len(q.places))
		q.places = append(q.places, make(chan C.sidecall_status, 1))
	}
	w.queue, w.ended = q, q.places[w.tag]
}

func (q *queue) unregister(w *workspace) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.free = append(q.free, w.tag)
}

// runQueued runs the call, and waits without a thread. No function of the context is called while
// the run is under way, because it may panic.
func (w *workspace) runQueued(ctx context.Context, timeout C.int64_t) C.sidecall_status {
	if w.queue == nil {
		q, err := theQueue()
		if err != nil { // no memory: the thread of the goroutine waits
			return C.sidecall_go_run(w.address(), timeout)
		}
		q.register(w)
	}
	q, done := w.queue, ctx.Done()
	deadline, _ := ctx.Deadline()
	if status := C.sidecall_go_submit(q.handle, w.address(), timeout, w.tag); status != C.SIDECALL_OK {
		return status
	}
	if q.pending.Add(1) == 1 {
		go q.take()
	}
	var status C.sidecall_status
	if done == nil { // faster than select
		status = <-w.ended
	} else {
		select {
		case status = <-w.ended:
		case <-done:
			if !hasPassed(deadline) {
				C.sidecall_queue_cancel(q.handle, w.work.run)
			}
			status = <-w.ended
		}
	}
	return C.sidecall_go_finish(w.address(), status)
}

// take takes completions until no run is pending.
func (q *queue) take() {
	taken := (*C.sidecall_go_taken)(C.calloc(1, C.sizeof_sidecall_go_taken))
	defer C.free(unsafe.Pointer(taken))
	yields := 0
	for {
		wait := C.int64_t(0)
		if yields >= maxYields {
			wait = -1
		}
		count := C.sidecall_go_take(q.handle, addressOf(taken), wait)
		if count > 0 {
			yields = 0
			q.mutex.Lock()
			for i := range count {
				q.places[taken.completions[i].tag] <- taken.completions[i].status
			}
			q.mutex.Unlock()
			if q.pending.Add(-int64(count)) <= 0 {
				return
			}
		} else {
			yields++
		}
		runtime.Gosched() // other goroutines read their answers, and start their next runs
	}
}
