package crdt

import (
	"fmt"
	"testing"
)

func TestCounterRemovedWhileIncremented(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	update(t, a, func(tx *Tx) error { _, err := tx.Incr("n", 10); return err })
	pullAll(t, b, a, 1<<16)
	update(t, b, func(tx *Tx) error { tx.Del("n"); return nil })
	update(t, a, func(tx *Tx) error { _, err := tx.Incr("n", 1); return err })
	for range 2 {
		pullAll(t, b, a, 1<<16)
		pullAll(t, a, b, 1<<16)
	}
	for _, r := range []*Region{a, b} {
		if v, ok, err := r.View(testNow).Get("n"); string(v) != "1" || !ok || err != nil {
			t.Fatalf("got %q %v %v, want 1", v, ok, err)
		}
	}
	if a.Digest() != b.Digest() {
		t.Fatal("digests differ")
	}
}

func TestChunkedPullIsComplete(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	update(t, a, func(tx *Tx) error {
		for i := range 5000 {
			tx.Set(fmt.Sprint("k", i), []byte("v"), false)
		}
		for i := range 3000 {
			if _, err := tx.SetAdd("big", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if n := pullAll(t, b, a, 4096); n < 10 {
		t.Fatalf("%d chunks", n)
	}
	if !a.Context().Equal(b.Context()) || a.Digest() != b.Digest() || b.Entries() != 5001 || len(b.pieces) != 0 {
		t.Fatalf("not equal: %d entries, %d pieces", b.Entries(), len(b.pieces))
	}
	update(t, a, func(tx *Tx) error { tx.Del("big"); return nil })
	if n := pullAll(t, b, a, 4096); n != 1 || b.Entries() != 5000 || a.Digest() != b.Digest() {
		t.Fatalf("%d chunks, %d entries", n, b.Entries())
	}
	update(t, a, func(tx *Tx) error { tx.Flush(); tx.Set("x", []byte("y"), false); return nil })
	pullAll(t, b, a, 4096)
	if b.Entries() != 1 || a.Digest() != b.Digest() {
		t.Fatalf("%d entries", b.Entries())
	}
}
