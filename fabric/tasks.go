package fabric

import (
	"sync"

	"github.com/edgemem/edgemem/crdt"
)

// tasks are the regions that pulls are bringing. A pull that takes long runs beside others, and what it is bringing is not
// asked of a second peer meanwhile, unless it has become slow.
type tasks struct {
	mu   sync.Mutex
	open map[crdt.RegionID]*task
}

// take gives a region to a pull, unless another brings it. Then that one remembers to ask the peer when it is done.
func (t *tasks) take(x *puller, id crdt.RegionID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.open[id]; k != nil && k.x != x && k.x.c.pace.brisk() {
		if k.x.after == nil {
			k.x.after = map[*peer]bool{}
		}
		k.x.after[x.p] = true
		return false
	}
	if t.open == nil {
		t.open = map[crdt.RegionID]*task{}
	}
	t.open[id] = &task{x: x}
	return true
}

// done says that a pull no longer brings a region.
func (t *tasks) done(x *puller, id crdt.RegionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.open[id]; k != nil && k.x == x {
		delete(t.open, id)
	}
}

// end gives back all that a pull had, and asks the peers that were put off for it.
func (t *tasks) end(x *puller) {
	t.mu.Lock()
	for id := range x.open {
		if k := t.open[id]; k != nil && k.x == x {
			delete(t.open, id)
		}
	}
	after := x.after
	t.mu.Unlock()
	for p := range after {
		p.ask(becauseBehind)
	}
}
