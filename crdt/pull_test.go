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

// TestHelloSince: of many writers a second hello names those that wrote since, and says the same.
func TestHelloSince(t *testing.T) {
	t.Parallel()
	r := newTestRegion(400)
	for i := range 300 {
		x := newTestRegion(i + 1)
		update(t, x, func(tx *Tx) error { tx.Set(fmt.Sprint("k", i), []byte("v"), false); return nil })
		for _, msg := range x.TakePush() {
			if _, err := r.Push(msg, testNow); err != nil {
				t.Fatal(err)
			}
		}
	}
	base, full := r.Context(), r.Hello()
	update(t, r, func(tx *Tx) error { tx.Set("k", nil, false); return nil })
	short := r.HelloSince(base, nil)
	if len(short) > 100 || len(full) < 300*16 {
		t.Errorf("%d bytes in full, %d as a change", len(full), len(short))
	}
	s, err := DecodeHello(short)
	if err != nil {
		t.Fatal(err)
	}
	if s.Since == 0 || r.NewPull(s).Next(100) != nil {
		t.Error("a hello that was not resolved was answered")
	}
	if s.Resolve(r.Context()) {
		t.Error("resolved with another context")
	}
	if !s.Resolve(base) || !s.Context.Equal(r.Context()) {
		t.Error("it does not say the same")
	}
}
