//go:build unix

package offheap

import (
	"errors"
	"math"
	"testing"
)

func TestMmapSaysWhenTheSystemRefuses(t *testing.T) {
	t.Parallel()
	if math.MaxInt == math.MaxInt32 {
		t.Skip("no size is too large for all of a 32-bit address space and not for an int")
	}
	if _, err := NewMmap().Map(math.MaxInt/2, 1<<20, -1); !errors.Is(err, ErrNoMemory) {
		t.Errorf("half the address space: %v", err)
	}
}

func TestMmapAligns(t *testing.T) {
	t.Parallel()
	src := NewMmap()
	for _, align := range []int{4096, 64 << 10, 1 << 20, 8 << 20} {
		for range 4 {
			addr, err := src.Map(64<<10, align, -1)
			if err != nil || addr%uint64(align) != 0 {
				t.Fatalf("a multiple of %d is %#x, %v", align, addr, err)
			}
			bytesAt(addr, 64<<10)[64<<10-1] = 1
			defer src.Unmap(addr, 64<<10)
		}
	}
}

func TestDiscardedPagesReadAsZero(t *testing.T) {
	t.Parallel()
	src := NewMmap()
	addr, err := src.Map(64<<10, 64<<10, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Unmap(addr, 64<<10)
	b := bytesAt(addr, 64<<10)
	b[0], b[40_000] = 1, 1
	src.Discard(addr+uint64(src.PageBytes()), 64<<10-src.PageBytes())
	if b[0] != 1 {
		t.Error("a page before the discarded ones changed")
	}
}
