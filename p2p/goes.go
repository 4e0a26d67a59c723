package p2p

import "sync"

// goes owns the host's goroutines: none starts after stop, and wait sees the end of all.
type goes struct {
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

// refuse lets no further goroutine start.
func (g *goes) refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop = true
}

func (g *goes) wait() { g.wg.Wait() }
