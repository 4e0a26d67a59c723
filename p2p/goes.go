package p2p

import (
	"context"
	"sync"
	"time"
)

// goes owns the host's goroutines: none starts after stop, and wait sees the end of all.
type goes struct {
	ctx  context.Context // ends timers that still wait
	mu   sync.Mutex
	stop bool
	wg   sync.WaitGroup
}

// run starts fn in a goroutine; false if the host is closing.
func (g *goes) run(fn func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop {
		return false
	}
	g.wg.Go(fn)
	return true
}

// after runs fn once d has passed, unless the host closes first.
func (g *goes) after(d time.Duration, fn func()) {
	g.run(func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			fn()
		case <-g.ctx.Done():
		}
	})
}

// refuse lets no further goroutine start.
func (g *goes) refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop = true
}

func (g *goes) wait() { g.wg.Wait() }
