package crdt

import (
	"fmt"
	"testing"
	"unsafe"
)

// A node may have thousands of regions of a few entries: what such a region keeps between two writes is bounded, and a figure that is
// added to Region shows here first.
func TestSmallRegionsAtRestKeepLittle(t *testing.T) {
	t.Parallel()
	const class = 576 - 8 // the allocator's, without its header
	if n := unsafe.Sizeof(Region{}); n > class && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("a Region takes %d bytes, of %d", n, class)
	}
	f := NewFamily(Config{Push: true})
	a, b := f.NewRegion("t", testOrigin(1), nil), f.NewRegion("t", testOrigin(2), nil)
	for i := range 3 {
		if err := a.Update(testNow, func(tx *Tx) error { tx.Set(fmt.Sprint("k", i%2), []byte{byte(i)}, false); return nil }); err != nil {
			t.Fatal(err)
		}
		pushes := a.TakePush()
		if len(pushes) != 1 || a.Outbound() != 0 {
			t.Fatalf("write %d: %d messages, %d bytes left", i, len(pushes), a.Outbound())
		}
		if _, err := b.Push(pushes[0], testNow); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*Region{a, b} {
			if n := len(r.TakeDirty()); n < 2 || r.Dirty() {
				t.Errorf("write %d: %d records, the region is dirty: %v", i, n, r.Dirty())
			}
			if r.out != nil || r.dirty != nil || r.seldom != nil || r.store.scratch != nil {
				t.Errorf("write %d: at rest the region keeps %+v, %+v, %+v, %+v", i, r.out, r.dirty, r.seldom, r.store.scratch)
			}
			if val, ok, err := r.View(testNow).Get(fmt.Sprint("k", i%2)); !ok || err != nil || val[0] != byte(i) {
				t.Errorf("write %d reads as %v, %v, %v", i, val, ok, err)
			}
		}
	}
	mustAudit(t, a, b)
}

// What waits for what it covers is kept until that comes, and then goes.
func TestRestKeepsWhatWaits(t *testing.T) {
	t.Parallel()
	a, b := newTestRegion(1), newTestRegion(2)
	var msgs [][]byte
	for i := range 2 {
		_ = a.Update(testNow, func(tx *Tx) error { tx.Set("k", []byte{byte(i)}, false); return nil })
		msgs = append(msgs, a.TakePush()...)
	}
	for i := len(msgs) - 1; i >= 0; i-- {
		if _, err := b.Push(msgs[i], testNow); err != nil {
			t.Fatal(err)
		}
		if writes, _ := b.Waiting(); writes != i {
			t.Errorf("%d writes wait, want %d", writes, i)
		}
	}
	if b.seldom != nil {
		t.Errorf("when nothing waits the region keeps %+v", b.seldom)
	}
	mustAudit(t, a, b)
	if state(a) != state(b) {
		t.Error("the replicas differ")
	}
}

// A source gives the large chunks, and is asked for no small ones.
func TestSmallChunksAreOfTheHeap(t *testing.T) {
	t.Parallel()
	c := &countedChunks{}
	r := NewFamily(Config{}).NewRegion("t", testOrigin(1), c)
	set := func(from, to int) {
		for i := from; i < to; i++ {
			_ = r.Update(testNow, func(tx *Tx) error { tx.Set(fmt.Sprint("key:", i), make([]byte, 40), false); return nil })
		}
	}
	if set(0, 1); c.asked != 0 {
		t.Errorf("a region of one entry asked for %d chunks", c.asked)
	}
	if set(1, 200); c.asked == 0 || c.least <= slabHeap {
		t.Errorf("a region of 200 entries asked for %d chunks, the smallest of %d bytes", c.asked, c.least)
	}
	mustAudit(t, r)
	if r.Release(); c.freed != c.asked {
		t.Errorf("%d of %d chunks were given back", c.freed, c.asked)
	}
}

type countedChunks struct{ asked, freed, least int }

func (c *countedChunks) Alloc(n int) (uint64, []byte) {
	if c.asked++; c.asked == 1 || n < c.least {
		c.least = n
	}
	return uint64(c.asked), make([]byte, n)
}

func (c *countedChunks) Free(uint64) { c.freed++ }
