package crdt

import (
	"fmt"
	"testing"
)

// TestGhostBudget: ghosts never exceed the budget for long, and a replica that was away sees every removal all the
// same.
func TestGhostBudget(t *testing.T) {
	t.Parallel()
	const budget = 50
	r := NewRegion(Config{Name: "t", Self: testOrigin(1), Push: true, MaxGhosts: budget})
	away := newTestRegion(2)
	for i := range 500 {
		update(t, r, func(tx *Tx) error { tx.Set(fmt.Sprint(i), []byte("v"), false); return nil })
	}
	pullAll(t, away, r, 1<<16)
	update(t, away, func(tx *Tx) error { tx.Set("mine", []byte("v"), false); return nil })
	for i := range 450 {
		update(t, r, func(tx *Tx) error { tx.Del(fmt.Sprint(i)); return nil })
		if r.Tick(testNow); r.Ghosts() > budget {
			t.Fatalf("%d ghosts, budget %d", r.Ghosts(), budget)
		}
	}
	if len(r.Floors()) == 0 {
		t.Fatal("no floor rose")
	}
	pullAll(t, r, away, 1<<16)
	pullAll(t, away, r, 1<<16)
	if away.Entries() != 51 || state(away) != state(r) {
		t.Fatalf("%d entries, want 51", away.Entries())
	}
	mustAudit(t, r, away)
}

// TestPruneStopsAtHoles: what a floor says must be seen without a gap.
func TestPruneStopsAtHoles(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	for i := range 6 {
		update(t, a, func(tx *Tx) error { tx.Set(fmt.Sprint(i/2), nil, false); tx.Del(fmt.Sprint(i / 2)); return nil })
		if msgs := a.TakePush(); i != 2 {
			for _, m := range msgs {
				if _, err := b.Push(m, testNow); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	b.Prune(a.Self(), 1<<40)
	ctx := b.Context()[a.Self()]
	if f := b.Floors()[a.Self()]; f > ctx.Base {
		t.Fatalf("floor %d above the base %d", f, ctx.Base)
	}
	b.Prune(testOrigin(77), 5) // unknown: nothing
	mustAudit(t, b)
}
