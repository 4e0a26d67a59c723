package crdt

import (
	"fmt"
	"testing"
)

// Pruned in parts, a region ends as if it were pruned at once: the same ghosts are gone, and a replica that was away loses nothing.
func TestPruneInParts(t *testing.T) {
	t.Parallel()
	self := NewOrigin("n", Nonce{1})
	build := func() *Region {
		r := NewRegion(Config{Name: "r", Self: self})
		for i := range 300 {
			err := r.Update(1000, func(tx *Tx) error {
				tx.Set(fmt.Sprint("k", i), nil, false)
				if i%3 == 0 {
					tx.Del(fmt.Sprint("k", i/2))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	whole, parts := build(), build()
	upto := whole.OwnTop() - 40
	whole.Prune(self, upto)
	left := parts.Ghosts()
	for at := Seq(0); at < upto; at += 25 {
		parts.PruneRange(self, at, min(at+25, upto))
		if n := parts.Ghosts(); left-n > 25 {
			t.Errorf("%d ghosts went with one part of 25 writes", left-n)
		} else {
			left = n
		}
	}
	if whole.Ghosts() == 0 || parts.Ghosts() != whole.Ghosts() || parts.Digest() != whole.Digest() {
		t.Errorf("%d ghosts and digest %x, at once %d and %x", parts.Ghosts(), parts.Digest(), whole.Ghosts(), whole.Digest())
	}
	if f := parts.Floors()[self]; f > upto || f < whole.Floors()[self]-25 {
		t.Errorf("floor %d, at once %d", f, whole.Floors()[self])
	}
	before := parts.Ghosts()
	parts.PruneRange(self, 0, upto)
	parts.PruneRange(NewOrigin("another", Nonce{}), 0, upto)
	if parts.Ghosts() != before {
		t.Error("there was more to prune")
	}
	if err := parts.Audit(); err != nil {
		t.Error(err)
	}
}
