// The workspaces of a model that goroutines share, and the life of its handle.

package sidecall

// #include "shim.h"
import "C"

import (
	"context"
	"sync"
)

// A pool limits how many workspaces of a model are taken, holds those that are not, and counts what
// uses the handle of the model. The calls of the workspaces come from the library, which keeps them
// for their next use. Only a workspace that ran a single record keeps its call, because giving it
// back and taking another would be a noticeable part of a short run.
type pool struct {
	turns   chan struct{} // receives a place that was left, for a goroutine that waits
	closing chan struct{} // closed with the model

	sync.Mutex
	limit    int
	taken    int
	waiting  int // goroutines that wait for a place and have not been given one
	idle     []*workspace
	users    int // functions that use the handle at present
	isClosed bool
}

func errClosed() error {
	return refuse(CodeInvalidArgument, "model: expected an open model, got a closed one")
}

// hold keeps the handle open until letGo.
func (c *core) hold() error {
	c.pool.Lock()
	defer c.pool.Unlock()
	if c.pool.isClosed {
		return errClosed()
	}
	c.pool.users++
	return nil
}

func (c *core) letGo() {
	c.pool.Lock()
	c.pool.users--
	last := c.pool.isClosed && c.pool.users == 0
	c.pool.Unlock()
	if last {
		C.sidecall_model_close(c.handle)
	}
}

func (c *core) close() {
	p := &c.pool
	p.Lock()
	if p.isClosed {
		p.Unlock()
		return
	}
	p.isClosed = true
	idle := p.idle
	p.idle = nil
	last := p.users == 0
	p.Unlock()
	close(p.closing)
	for _, w := range idle {
		w.close()
	}
	if last {
		C.sidecall_model_close(c.handle)
	}
}

// take returns a workspace for so many rows, which the caller gives back.
func (c *core) take(ctx context.Context, rows int) (*workspace, error) {
	if err := contextError(ctx); err != nil {
		return nil, err
	}
	p := &c.pool
	p.Lock()
	if p.isClosed {
		p.Unlock()
		return nil, errClosed()
	}
	if p.taken == p.limit {
		p.waiting++
		p.Unlock()
		if err := c.await(ctx); err != nil {
			return nil, err
		}
		p.Lock()
	} else {
		p.taken++
	}
	var w *workspace
	if n := len(p.idle); n > 0 {
		w, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.Unlock()
	if w != nil && w.work.call != nil && rows == 1 {
		return w, nil
	}
	w, err := c.prepare(w, rows)
	if err != nil {
		c.leave()
	}
	return w, err
}

// await waits for a place.
func (c *core) await(ctx context.Context) (err error) {
	p := &c.pool
	hasPlace := false
	defer func() { // also if the context panics
		if hasPlace {
			return
		}
		p.Lock()
		isExpected := p.waiting > 0
		if isExpected {
			p.waiting--
		}
		p.Unlock()
		if !isExpected { // a place is on its way
			<-p.turns
			c.leave()
		}
	}()
	select {
	case <-p.turns:
		hasPlace = true
		return nil
	case <-p.closing:
		return errClosed()
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// leave gives the place of a workspace to a goroutine that waits for it.
func (c *core) leave() {
	c.pool.Lock()
	c.pool.unlockAndPass()
}

func (p *pool) unlockAndPass() {
	isExpected := p.waiting > 0
	if isExpected {
		p.waiting--
	} else {
		p.taken--
	}
	p.Unlock()
	if isExpected {
		p.turns <- struct{}{}
	}
}

// prepare gives a workspace a new call with so many rows. Without a workspace it makes one.
func (c *core) prepare(w *workspace, rows int) (*workspace, error) {
	err := c.hold()
	if err == nil && w == nil {
		w, err = c.newWorkspace()
	}
	if err == nil {
		C.sidecall_model_give_call(c.handle, w.work.call)
		w.work.call = nil
		err = w.check(C.sidecall_model_take_call(c.handle, C.int64_t(rows), &w.work.call, w.work.err))
		c.letGo()
	}
	if err != nil && w != nil {
		w.close()
		return nil, err
	}
	return w, err
}

// give takes a workspace back. Unless it keeps its call, the library gets the call, in any state.
func (c *core) give(w *workspace, keepsCall bool) {
	if !keepsCall && c.hold() == nil {
		C.sidecall_model_give_call(c.handle, w.work.call)
		w.work.call, w.isDirty = nil, false
		c.letGo()
	}
	p := &c.pool
	p.Lock()
	isClosed := p.isClosed
	if !isClosed {
		p.idle = append(p.idle, w)
	}
	p.unlockAndPass()
	if isClosed {
		w.close()
	}
}
