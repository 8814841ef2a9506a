// Runs of a served model that many goroutines wait for.

package sidecall

// #include "shim.h"
//
// #cgo noescape sidecall_go_finish
// #cgo nocallback sidecall_go_finish
// #cgo noescape sidecall_go_add
// #cgo nocallback sidecall_go_add
// #cgo noescape sidecall_go_wait
// #cgo nocallback sidecall_go_wait
// #cgo noescape sidecall_go_run
// #cgo nocallback sidecall_go_run
// #cgo noescape sidecall_go_poll
// #cgo nocallback sidecall_go_poll
// #cgo noescape sidecall_go_start
// #cgo nocallback sidecall_go_start
import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// A waiter runs calls of a served model for many goroutines.
//
// A run that is alone waits on the thread of its goroutine, because that is fastest. The goroutines
// of further runs wait without a thread. First they take turns and look for the end of their runs,
// which needs no system call while the server is busy. Then one goroutine finishes the runs of all
// of them, with one function of C for many runs. A descriptor for each run and the poller of Go
// need about ten system calls for each run.
type waiter struct {
	numRuns   atomic.Int32
	numAlone  atomic.Uint32 // runs that began alone
	hasMissed atomic.Bool   // the last poll ended before its run

	mutex     sync.Mutex
	started   []*workspace // runs that the loop does not know yet, the oldest first
	isLooping bool
}

// How long the loop waits for the oldest run before it looks at the others again. It doubles while
// nothing happens: a run that ends while an older one goes on may be noticed as late as that.
const (
	turns     = 4 // how often other goroutines may run before it waits at all
	firstWait = 20 * time.Microsecond
	lastWait  = 500 * time.Microsecond
)

// How long a goroutine polls for the end of its run. After a poll that was too short, the next ones
// are brief.
var pollTime = time.Duration(C.sidecall_poll_ns())

const briefPoll = 10 * time.Microsecond

func (t *waiter) run(w *workspace, timeout C.int64_t) C.sidecall_status {
	defer t.numRuns.Add(-1)
	if t.numRuns.Add(1) == 1 {
		// A run on this thread keeps a processor of Go busy. If that is the only one, other
		// goroutines could not start their runs.
		if t.numAlone.Add(1)%16 == 0 {
			runtime.Gosched()
		}
		if t.numRuns.Load() == 1 {
			return C.sidecall_go_run(w.address(), timeout)
		}
	}
	if status := C.sidecall_go_start(w.address(), timeout); status != C.SIDECALL_OK {
		return status
	}
	if status := t.poll(w); status != C.SIDECALL_PENDING {
		return status
	}
	if w.outcome == nil {
		w.outcome = make(chan C.sidecall_status, 1)
	}
	t.mutex.Lock()
	t.started = append(t.started, w)
	if !t.isLooping {
		t.isLooping = true
		go t.loop()
	}
	t.mutex.Unlock()
	return <-w.outcome
}

// poll looks for the end of a run between the turns of other goroutines, for a limited time.
func (t *waiter) poll(w *workspace) C.sidecall_status {
	if pollTime == 0 {
		return C.SIDECALL_PENDING
	}
	runtime.Gosched()
	status := C.sidecall_go_poll(w.address())
	if status != C.SIDECALL_PENDING {
		return status // the usual case if many goroutines take turns
	}
	begin, limit := time.Now(), pollTime
	if t.hasMissed.Load() {
		limit = min(limit, briefPoll)
	}
	for time.Since(begin) < limit {
		runtime.Gosched()
		status = C.sidecall_go_poll(w.address())
		if status != C.SIDECALL_PENDING {
			t.hasMissed.Store(false)
			return status
		}
	}
	t.hasMissed.Store(true)
	return C.SIDECALL_PENDING
}

// loop finishes runs until none is left.
func (t *waiter) loop() {
	var pending []*workspace
	// The same runs in memory of C.
	runs := (*C.sidecall_go_runs)(C.calloc(1, C.sizeof_sidecall_go_runs))
	defer func() {
		C.free(unsafe.Pointer(runs.works))
		C.free(unsafe.Pointer(runs.statuses))
		C.free(unsafe.Pointer(runs))
	}()
	idle := 0 // how often nothing was over
	for {
		t.mutex.Lock()
		if len(t.started) > 0 {
			idle = 0
		}
		for _, w := range t.started {
			if C.sidecall_go_add(addressOf(runs), w.address()) == 0 {
				w.outcome <- C.sidecall_go_wait(w.address())
				continue
			}
			pending = append(pending, w)
		}
		t.started = t.started[:0]
		if len(pending) == 0 {
			t.isLooping = false
			t.mutex.Unlock()
			return
		}
		t.mutex.Unlock()
		wait := C.int64_t(0)
		if idle >= turns {
			wait = C.int64_t(min(firstWait<<min(idle-turns, 10), lastWait))
		}
		if C.sidecall_go_finish(addressOf(runs), wait) == 0 {
			idle++
		} else {
			idle = 0
			pending = t.deliver(pending, runs)
		}
		if wait == 0 {
			runtime.Gosched() // other goroutines start their next runs before this one looks again
		}
	}
}

// deliver sends the outcomes of the last look to their goroutines, and returns the other runs.
func (t *waiter) deliver(pending []*workspace, runs *C.sidecall_go_runs) []*workspace {
	statuses := unsafe.Slice(runs.statuses, runs.count)
	works := unsafe.Slice(runs.works, runs.count)
	left := 0
	for i, w := range pending {
		if statuses[i] != C.SIDECALL_PENDING {
			w.outcome <- statuses[i]
			continue
		}
		pending[left], works[left] = w, works[i]
		left++
	}
	clear(pending[left:])
	runs.count = C.int64_t(left)
	return pending[:left]
}
