//go:build edgemem_poison

package offheap

import (
	"strings"
	"testing"
)

func TestPoisonFindsMisuse(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, h *Heap) {
		for _, n := range []int{1, 100, 2000} {
			p := h.NewPool(Value)
			keep, _ := p.Alloc(n)
			ref, b := p.Alloc(n)
			p.Free(ref)
			for i, c := range b {
				if i >= 8 && c != poisonByte { // the first bytes chain free slots, or tell since when the slab is empty
					t.Fatalf("byte %d of a freed object is %#x", i, c)
				}
			}
			wantPanic(t, "after its free", func() { p.Free(ref) })
			wantPanic(t, "poison_on_test.go", func() { p.Bytes(ref) })
			again, _ := p.Alloc(n)
			if again&^turnMask != ref&^turnMask {
				t.Fatalf("the freed slot is not used next: the test below tests nothing")
			}
			wantPanic(t, "holds another object", func() { p.Bytes(ref) })
			wantPanic(t, "never gave", func() { h.NewPool(Value).Bytes(keep) })
			p.Free(again)
			p.Free(keep)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestPoisonFindsWritesAfterFree(t *testing.T) {
	t.Parallel()
	p := newHeap(t, Config{}).NewPool(Value)
	p.Alloc(100)
	ref, b := p.Alloc(100)
	p.Free(ref)
	b[50]++
	wantPanic(t, "written to after its free", func() { p.Alloc(100) })
}

func TestPoisonFindsLargeObjects(t *testing.T) {
	t.Parallel()
	p := newHeap(t, Config{}).NewPool(Value)
	ref, _ := p.Alloc(1 << 20)
	p.Free(ref)
	wantPanic(t, "after its free", func() { p.Free(ref) })
	wantPanic(t, "after its free", func() { p.Bytes(ref) })
}

func TestLeaksAreCountedByPlace(t *testing.T) {
	t.Parallel()
	p := newHeap(t, Config{}).NewPool(Ghost)
	for range 3 {
		p.Alloc(28)
	}
	p.AllocArray(1 << 20)
	err := p.Close()
	for _, want := range []string{"84 bytes in 3 objects allocated at", "1048576 bytes in 1 objects", "poison_on_test.go:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func wantPanic(t *testing.T, part string, do func()) {
	t.Helper()
	if msg := panicOf(do); !strings.Contains(msg, part) {
		t.Errorf("panic says %q, want %q in it", msg, part)
	}
}
