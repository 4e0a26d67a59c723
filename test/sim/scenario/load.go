package scenario

import (
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// plan puts everything that the file says will happen into the queue.
func (w *world) plan() {
	total := 0
	for i := range w.s.Load {
		total += w.s.Load[i].count()
	}
	w.traceEvery = max((total+tracedMax-1)/tracedMax, 1)
	for i := range w.s.Load {
		w.load(&w.s.Load[i])
	}
	for i := range w.s.Event {
		w.event(&w.s.Event[i])
	}
}

func (l *Load) count() int {
	if l.Rate == 0 {
		return l.Writers
	}
	return int(l.Rate * time.Duration(l.For).Seconds())
}

// load spreads its writes evenly over its writers and its time.
func (w *world) load(l *Load) {
	writers := w.pick(l.Tier, 1)
	writers = writers[:min(l.Writers, len(writers))]
	gap := time.Duration(0)
	if l.Rate > 0 {
		gap = time.Duration(float64(time.Second) / l.Rate)
	}
	w.pending++
	done := 0
	var next func()
	next = func() {
		w.write(l, writers[done%len(writers)])
		if done++; done == l.count() {
			w.pending--
			w.last = w.now
			return
		}
		w.after(gap, next)
	}
	w.when(time.Duration(l.From), next)
}

// write sets or removes one key at a node that is up.
func (w *world) write(l *Load, n *node) {
	if !n.up {
		return
	}
	key := fmt.Sprintf("load:%06d", w.rng.IntN(l.Keys))
	w.must(n.r.Update(w.clock(), func(tx *crdt.Tx) error {
		if w.rng.Float64() < l.Removes {
			tx.Del(key)
		} else {
			tx.Set(key, w.value(l.ValueBytes), false)
		}
		return nil
	}))
	w.took(n, nil, 0)
	w.changed(n)
	w.dirty(n)
	w.push(n)
}
