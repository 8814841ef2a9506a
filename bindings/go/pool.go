// The workspaces of a model that goroutines share, and the life of its handle.

package sidecall

// #include "shim.h"
import "C"

import (
	"context"
	"slices"
	"sync"
)

// A pool holds the workspaces of a model that no run uses at present, and counts what uses the
// handle of the model.
type pool struct {
	sync.Mutex
	limit   int
	open    int // workspaces, idle or not
	idle    []*workspace
	waiting []chan *workspace // each receives a workspace once, or nil: it may open one
	users   int               // functions that use the handle at present
	closed  bool
}

func errClosed() error {
	return refuse(CodeInvalidArgument, "model: expected an open model, got a closed one")
}

// hold keeps the handle open until letGo.
func (c *core) hold() error {
	c.pool.Lock()
	defer c.pool.Unlock()
	if c.pool.closed {
		return errClosed()
	}
	c.pool.users++
	return nil
}

func (c *core) letGo() {
	c.pool.Lock()
	c.pool.users--
	last := c.pool.closed && c.pool.users == 0
	c.pool.Unlock()
	if last {
		C.sidecall_model_close(c.handle)
	}
}

func (c *core) close() {
	p := &c.pool
	p.Lock()
	if p.closed {
		p.Unlock()
		return
	}
	p.closed = true
	idle, waiting := p.idle, p.waiting
	p.idle, p.waiting = nil, nil
	last := p.users == 0
	p.Unlock()
	for _, w := range idle {
		w.close()
	}
	for _, waiter := range waiting {
		waiter <- nil
	}
	if last {
		C.sidecall_model_close(c.handle)
	}
}

// take returns a workspace, which the caller gives back.
func (c *core) take(ctx context.Context) (*workspace, error) {
	if err := contextError(ctx); err != nil {
		return nil, err
	}
	p := &c.pool
	p.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.Unlock()
		return w, nil
	}
	if p.closed {
		p.Unlock()
		return nil, errClosed()
	}
	if p.open < p.limit {
		p.open++
		p.Unlock()
		return c.openPooled()
	}
	waiter := make(chan *workspace, 1)
	p.waiting = append(p.waiting, waiter)
	p.Unlock()
	select {
	case w := <-waiter:
		if w == nil {
			return c.openPooled()
		}
		return w, nil
	case <-ctx.Done():
		c.stopWaiting(waiter)
		return nil, contextError(ctx)
	}
}

func (c *core) stopWaiting(waiter chan *workspace) {
	c.pool.Lock()
	at := slices.Index(c.pool.waiting, waiter)
	if at >= 0 {
		c.pool.waiting = slices.Delete(c.pool.waiting, at, at+1)
	}
	c.pool.Unlock()
	if at >= 0 {
		return
	}
	// A workspace is on its way.
	if w := <-waiter; w != nil {
		c.give(w, true)
	} else {
		c.leave()
	}
}

// openPooled opens one of the workspaces that the pool counts.
func (c *core) openPooled() (*workspace, error) {
	w, err := c.openWorkspace(1, true)
	if err != nil {
		c.leave()
	}
	return w, err
}

// leave says that there is one workspace less.
func (c *core) leave() {
	c.pool.Lock()
	var waiter chan *workspace
	if len(c.pool.waiting) > 0 {
		waiter = c.pool.waiting[0]
		c.pool.waiting = c.pool.waiting[1:]
	} else {
		c.pool.open--
	}
	c.pool.Unlock()
	if waiter != nil {
		waiter <- nil
	}
}

// give takes a workspace back. One that is not reusable is closed: the engine or the server may
// still use its memory.
func (c *core) give(w *workspace, isReusable bool) {
	if !isReusable {
		w.close()
		c.leave()
		return
	}
	p := &c.pool
	p.Lock()
	switch {
	case p.closed:
		p.Unlock()
		w.close()
	case len(p.waiting) > 0:
		waiter := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.Unlock()
		waiter <- w
	default:
		p.idle = append(p.idle, w)
		p.Unlock()
	}
}
