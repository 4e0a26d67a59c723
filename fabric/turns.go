package fabric

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// pullTurn is how long a pull may hold the turn. One that takes longer goes on, and no longer holds up pulls from others.
const pullTurn = 5 * time.Second

// turns lets one pull run at a time, so that no two peers send the same. Whose turn is next: the most urgent first, then a
// peer that was not asked since it came, then the nearest, else any: so many nodes that come back together do not all ask
// the same one.
type turns struct {
	mu      sync.Mutex
	taken   bool
	waiting []*turn // one a peer at most
}

// turn is a pull that waits.
type turn struct {
	why   reason
	asked bool
	rtt   time.Duration // 0: not measured yet
	dice  uint64
	start chan struct{} // closed when it may run
}

func (a *turn) compare(b *turn) int {
	if a.why != b.why {
		return cmp.Compare(b.why, a.why)
	}
	if a.asked != b.asked {
		if b.asked {
			return -1
		}
		return 1
	}
	if a.rtt != b.rtt {
		return cmp.Compare(a.rtt, b.rtt)
	}
	return cmp.Compare(a.dice, b.dice)
}

// take waits for the turn. give, which may be called more than once, hands it on; it is handed on by itself after pullTurn.
func (t *turns) take(ctx context.Context, w *turn) (give func(), err error) {
	w.dice, w.start = rand.Uint64(), make(chan struct{})
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		close(w.start)
	} else {
		t.waiting = append(t.waiting, w)
	}
	t.mu.Unlock()
	select {
	case <-w.start:
	case <-ctx.Done():
		t.leave(w)
		return nil, ctx.Err()
	}
	next := sync.OnceFunc(t.next)
	late := time.AfterFunc(pullTurn, next)
	return func() { late.Stop(); next() }, nil
}

// leave takes a waiting pull out, or hands on the turn that it has just got.
func (t *turns) leave(w *turn) {
	t.mu.Lock()
	i := slices.Index(t.waiting, w)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 {
		t.next()
	}
}

func (t *turns) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.taken = false
		return
	}
	w := slices.MinFunc(t.waiting, (*turn).compare)
	t.waiting = slices.DeleteFunc(t.waiting, func(x *turn) bool { return x == w })
	close(w.start)
}
