package crdt

import (
	"fmt"
	"testing"
)

func newTestRegion(i int) *Region {
	return NewRegion(Config{Name: "t", Self: NewOrigin(NodeID(fmt.Sprint("n", i)), Nonce{byte(i)}), Push: true})
}

func pullAll(t *testing.T, to, from *Region, max int) int {
	t.Helper()
	rc := to.NewReceiver()
	peer, err := DecodeHello(to.Hello())
	if err != nil {
		t.Fatal(err)
	}
	p, n := from.NewPull(peer), 0
	for msg := p.Next(max); msg != nil; msg = p.Next(max) {
		if err := rc.Merge(msg, 1000); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func update(t *testing.T, r *Region, fn func(*Tx) error) {
	t.Helper()
	if err := r.Update(1000, fn); err != nil {
		t.Fatal(err)
	}
}

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
		if v, ok, err := r.View(1000).Get("n"); string(v) != "1" || !ok || err != nil {
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
