package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// roundsMax bounds the rounds of everyone pulling from everyone. Two spread the writes; owners then absorb
// what reset their counters, which takes two more.
const roundsMax = 8

// heal mends everything, lets everyone pull from everyone until nothing changes, and compares.
func (w *world) heal() error {
	for _, row := range w.cut {
		clear(row)
	}
	w.sessions = nil
	for _, n := range w.nodes {
		n.full, n.blind = false, false
	}
	rng := rand.New(rand.NewPCG(uint64(len(w.s.steps)), 3))
	w.say("heal")
	if err := w.settle(rng); err != nil {
		return err
	}
	for len(w.flight) > 0 && w.err == nil { // what comes late changes nothing, unless a crash had taken it
		m := w.flight[0]
		w.flight = w.flight[1:]
		w.event(m.to, crdt.Arrived{Msg: m.body})
		w.fail(w.check(m.to))
	}
	if err := w.settle(rng); err != nil {
		return err
	}
	return w.compare()
}

// settle pulls until a whole round brings nothing.
func (w *world) settle(rng *rand.Rand) error {
	for range roundsMax {
		quiet := true
		for i := range w.nodes {
			for j := range w.nodes {
				if i != j && w.pull(i, j, rng) {
					quiet = false
					w.fail(w.check(i))
				}
				if w.err != nil {
					return w.err
				}
			}
		}
		if quiet {
			return nil
		}
	}
	return fmt.Errorf("not quiet after %d rounds", roundsMax)
}

// compare wants equal replicas that hold every write but the lost ones, and disks that read back equal.
func (w *world) compare() error {
	a := w.nodes[0]
	for i, n := range w.nodes {
		switch {
		case n.r.Pieces() != 0 && !w.crashed: // what a crash took may have left a part pulled that nobody can complete
			return fmt.Errorf("n%d still has %d pieces", i, n.r.Pieces())
		case !slices.Equal(n.known, a.known) || !n.r.Context().Equal(a.r.Context()) || n.r.ContextHash() != a.r.ContextHash():
			return fmt.Errorf("n%d and n0 have seen different writes", i)
		case n.r.Digest() != a.r.Digest() || n.r.Siblings() != a.r.Siblings() || n.r.Entries() != a.r.Entries():
			return fmt.Errorf("n%d and n0 have equal contexts and unequal digests or counts", i)
		}
		if err := w.sameViews(n.r, a.r); err != nil {
			return fmt.Errorf("n%d and n0: %w", i, err)
		}
		err := w.complete(n)
		if err == nil {
			err = w.oracle.checkShown(n.replica, w.oracle.living(n.replica), w.s.keys, w.now)
		}
		if err != nil {
			return fmt.Errorf("n%d: %w", i, err)
		}
	}
	return w.reopen()
}

func (w *world) sameViews(x, y *crdt.Region) error {
	for _, now := range []int64{0, w.now, w.now + 100*yearMs} {
		for _, key := range w.s.keys {
			if a, b := actual(x.View(now), key).everywhere(), actual(y.View(now), key).everywhere(); !a.equal(b) {
				return fmt.Errorf("key %q shows %v and %v", key, a, b)
			}
		}
	}
	return nil
}

// complete wants every write that was not lost.
func (w *world) complete(n *node) error {
	for i, x := range w.oracle.writes {
		if !n.known.has(i) && !w.lost.has(i) {
			return fmt.Errorf("%v never arrived", x)
		}
	}
	return nil
}

// reopen wants each disk to give back the replica that was committed to it.
func (w *world) reopen() error {
	for who, n := range w.nodes {
		w.sync(who)
		w.commit(who, len(n.queue))
		before := n.r
		w.start(who)
		if w.err != nil {
			return w.err
		}
		if !n.r.Context().Equal(before.Context()) || n.r.Digest() != before.Digest() || n.r.Ghosts() != before.Ghosts() {
			return fmt.Errorf("n%d reads back from its disk unequal", who)
		}
		if err := w.check(who); err != nil {
			return fmt.Errorf("reopened: %w", err)
		}
	}
	return nil
}
