package offheap

import (
	"errors"
	"testing"
	"time"
)

func TestCapHolds(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	src := NewCapped(NewMmap(), limit)
	h := newHeap(t, Config{Source: src, ChunkBytes: chunkMinBytes})
	o := &oracle{t: t, p: h.NewPool(Value)}
	for o.p.Usage().Reserved < limit-2*chunkMinBytes {
		o.alloc(100, 7)
	}
	if ref, _ := o.p.Alloc(4 * chunkMinBytes); ref != 0 || h.Stats().Mapped > limit {
		t.Errorf("the cap of %d lets %d through", limit, h.Stats().Mapped)
	}
	if _, err := src.Map(limit, chunkMinBytes, -1); !errors.Is(err, ErrNoMemory) {
		t.Errorf("beyond the cap: %v", err)
	}
	src.SetLimit(2 * limit)
	o.alloc(4*chunkMinBytes, 1)
	for len(o.refs) > 0 {
		o.free(0)
	}
	o.p.Trim(time.Time{}, 0)
	if h.Trim(time.Time{}, 0); src.given.Load() != 0 {
		t.Errorf("%d bytes are given and not returned", src.given.Load())
	}
}
