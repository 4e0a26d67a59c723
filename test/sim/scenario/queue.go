package scenario

import (
	"container/heap"
	"time"
)

// queue is virtual time: what happens, in order. What is due at one moment happens in the order in which it was
// put there, so that a seed replays a run.
type queue struct {
	now  time.Duration
	next uint64
	heap timers
}

// timer is one thing that will happen.
type timer struct {
	at   time.Duration
	seq  uint64
	fn   func()
	dead bool
}

// stop takes it back. A nil timer may be stopped.
func (t *timer) stop() {
	if t != nil {
		t.dead, t.fn = true, nil
	}
}

func (q *queue) after(d time.Duration, fn func()) *timer { return q.when(q.now+d, fn) }

func (q *queue) when(at time.Duration, fn func()) *timer {
	t := &timer{at: max(at, q.now), seq: q.next, fn: fn}
	q.next++
	heap.Push(&q.heap, t)
	return t
}

// step does the next thing, if it is due before the limit.
func (q *queue) step(limit time.Duration) bool {
	for len(q.heap) > 0 {
		if q.heap[0].at > limit {
			return false
		}
		t := heap.Pop(&q.heap).(*timer)
		if t.dead {
			continue
		}
		q.now = t.at
		t.fn()
		return true
	}
	return false
}

type timers []*timer

func (h timers) Len() int { return len(h) }
func (h timers) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].seq < h[j].seq
}
func (h timers) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timers) Push(x any)   { *h = append(*h, x.(*timer)) }
func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}
