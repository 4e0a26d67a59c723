package offheap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestEmptyPoolsAreCheap(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(Pool{}); size > 200 {
		t.Errorf("an empty pool takes %d bytes", size)
	}
	h := newHeap(t, Config{})
	for range 1000 {
		h.NewPool(Index)
	}
	if st := h.Stats(); st.Mapped != 0 || st.Pools != 1000 {
		t.Errorf("a thousand empty pools: %+v", st)
	}
}

// TestSmallPools holds ten thousand regions of a kilobyte: five records of different sizes, a table and a little metadata.
func TestSmallPools(t *testing.T) {
	t.Parallel()
	h := newHeap(t, Config{})
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		values, index, causal := h.NewPool(Value), h.NewPool(Index), h.NewPool(Causal)
		for range 5 {
			values.Alloc(100 + rng.IntN(100))
		}
		index.AllocArray(128)
		causal.Alloc(100)
	}
	st := h.Stats()
	t.Logf("%d bytes asked for, %d used, %d reserved, %d mapped", st.Total.Requested, st.Total.Used, st.Total.Reserved, st.Mapped)
	if ratio := float64(st.Mapped) / float64(st.Total.Requested); ratio > 2.2 {
		t.Errorf("small pools take %.2f times what was asked for", ratio)
	}
}

// TestLargePoolsWasteLittle bounds everything between what is asked for and what is mapped.
func TestLargePoolsWasteLittle(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]func(*rand.Rand) int{
		"records of 130": func(*rand.Rand) int { return 130 },
		"16 to 300":      func(r *rand.Rand) int { return 16 + r.IntN(284) },
		"100 to 4000":    func(r *rand.Rand) int { return 100 + r.IntN(3900) },
		"1 K to 100 K":   func(r *rand.Rand) int { return 1<<10 + r.IntN(99<<10) },
	} {
		h := newHeap(t, Config{})
		p := h.NewPool(Value)
		rng := rand.New(rand.NewPCG(1, 1))
		for p.Usage().Requested < 64<<20 {
			p.Alloc(size(rng))
		}
		st := h.Stats()
		waste := 1 - float64(st.Total.Requested)/float64(st.Mapped)
		t.Logf("%s: %.1f %% of what is mapped is not asked for", name, waste*100)
		if waste > 0.125 {
			t.Errorf("%s wastes %.1f %%", name, waste*100)
		}
	}
}

func TestReadersBesideEachOther(t *testing.T) {
	t.Parallel()
	h := newHeap(t, Config{Source: NewGoHeap()}) // the race detector does not watch mappings
	o := &oracle{t: t, p: h.NewPool(Value)}
	var lock sync.RWMutex
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() { readAll(&lock, o, stop) })
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 2000 {
		lock.Lock()
		if rng.IntN(3) > 0 || len(o.refs) == 0 {
			o.alloc(randomSize(rng), byte(i))
		} else {
			o.free(rng.IntN(len(o.refs)))
		}
		lock.Unlock()
	}
	close(stop)
	readers.Wait()
	o.verifyAll()
}

func readAll(lock *sync.RWMutex, o *oracle, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		lock.RLock()
		for i := range o.refs {
			if !bytes.Equal(o.p.Bytes(o.refs[i]), o.want[i]) {
				o.t.Errorf("object %d changed", i)
			}
		}
		lock.RUnlock()
		o.p.Usage() // needs no lock
		runtime.Gosched()
	}
}

// TestPoolsShareAHeap has writers of different pools take and return blocks at once, while others sum and trim.
func TestPoolsShareAHeap(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, h *Heap) {
		var writers sync.WaitGroup
		for seed := range uint64(4) {
			writers.Go(func() { churn(t, h, seed) })
		}
		for i := range 200 {
			h.Stats()
			h.Trim(time.Unix(0, int64(i)), 1)
			runtime.Gosched()
		}
		writers.Wait()
		heapLaws(t, h)
	})
}

func churn(t *testing.T, h *Heap, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 9))
	o := &oracle{t: t, p: h.NewPool(Purpose(seed))}
	for i := range 3000 {
		switch {
		case rng.IntN(400) == 0:
			o.p.Drop()
			o.refs, o.want, o.sum = nil, nil, 0
		case rng.IntN(5) < 3:
			o.alloc(randomSize(rng), byte(i))
		case len(o.refs) > 0:
			o.free(rng.IntN(len(o.refs)))
		}
	}
	o.verifyAll()
}

func TestDropFreesAllAtOnce(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, h *Heap) {
		other := &oracle{t: t, p: h.NewPool(Ghost)}
		p := h.NewPool(Value)
		for i := range 3000 {
			p.Alloc(i * 7)
			other.alloc(30, byte(i))
		}
		p.Drop()
		if u := p.Usage(); u != (Usage{}) {
			t.Errorf("after Drop: %+v", u)
		}
		other.verifyAll()
		heapLaws(t, h)
		if ref, b := p.Alloc(10); ref == 0 || len(b) != 10 {
			t.Error("a dropped pool is not as new")
		}
	})
}

func TestCloseTellsOfLeaks(t *testing.T) {
	t.Parallel()
	h := newHeap(t, Config{})
	p := h.NewPool(Buffer)
	p.Alloc(300)
	ref, _ := p.Alloc(5)
	p.Free(ref)
	err := p.Close()
	if err == nil || !strings.Contains(err.Error(), "buffer pool closed with 300 bytes") {
		t.Errorf("Close says %v", err)
	}
	if poisoned && !strings.Contains(err.Error(), "pool_test.go:") {
		t.Errorf("Close names no place: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if st := h.Stats(); st.Pools != 0 || st.Total != (Usage{}) {
		t.Errorf("closed pools count: %+v", st)
	}
}

func TestArraysAreZeroed(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, h *Heap) {
		p := h.NewPool(Index)
		for _, n := range []int{0, 16, 1000, 40_000, 1 << 20} {
			for range 3 {
				ref, b := p.AllocArray(n)
				if len(b) != n || !bytes.Equal(b, make([]byte, n)) {
					t.Fatalf("an array of %d has %d bytes, or is not zero", n, len(b))
				}
				for i := range b {
					b[i] = 0xff
				}
				p.Free(ref)
			}
		}
	})
}

func TestMemoryComesBack(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, h *Heap) {
		p := h.NewPool(Value)
		var refs []Ref
		for range 20_000 {
			ref, _ := p.Alloc(200)
			refs = append(refs, ref)
		}
		for _, ref := range refs {
			p.Free(ref)
		}
		now := time.Unix(100, 0)
		if u := p.Usage(); u.Used != 0 || u.Reserved == 0 || u.Reserved > int64(2*slabEnoughBytes) {
			t.Errorf("one empty slab should be kept: %+v", u)
		}
		if p.Trim(now, time.Second) != 0 {
			t.Error("a slab that was just seen empty is returned")
		}
		if h.Trim(now, time.Second); h.Stats().Mapped == 0 {
			t.Error("a chunk that was just seen free is unmapped")
		}
		now = now.Add(time.Second)
		if p.Trim(now, time.Second) == 0 || p.Usage() != (Usage{}) {
			t.Errorf("an idle slab is kept: %+v", p.Usage())
		}
		h.Trim(now, time.Second)
		if h.Trim(now.Add(time.Second), time.Second); h.Stats().Mapped != 0 {
			t.Errorf("idle chunks stay: %+v", h.Stats())
		}
	})
}

// TestFreeAtAnEdgeDoesNotThrash counts how often one Alloc and one Free, again and again, go to the heap.
func TestFreeAtAnEdgeDoesNotThrash(t *testing.T) {
	t.Parallel()
	h := newHeap(t, Config{})
	p := h.NewPool(Value)
	for p.bins == nil || p.bins[0].head[partial] != 0 {
		p.Alloc(64)
	}
	reserved := int64(-1)
	for range 100 {
		ref, _ := p.Alloc(64)
		p.Free(ref)
		if reserved < 0 {
			reserved = p.Usage().Reserved
		}
		if p.Usage().Reserved != reserved {
			t.Fatal("slabs come and go")
		}
	}
}

// A scarce source gives so many mappings and no more.
type scarce struct {
	Source
	left int
}

func (s *scarce) Map(size, align, node int) (uint64, error) {
	if s.left == 0 {
		return 0, ErrNoMemory
	}
	s.left--
	return s.Source.Map(size, align, node)
}

func TestAllocSaysWhenMemoryIsOut(t *testing.T) {
	t.Parallel()
	h := newHeap(t, Config{Source: &scarce{NewGoHeap(), 2}, ChunkBytes: chunkMinBytes})
	o := &oracle{t: t, p: h.NewPool(Value)}
	for {
		ref, b := o.p.Alloc(100)
		if ref == 0 {
			if b != nil {
				t.Error("bytes without a ref")
			}
			break
		}
		o.p.Free(ref)
		o.alloc(100, 1)
	}
	if ref, b := o.p.Alloc(1 << 20); ref != 0 || b != nil {
		t.Error("a large object from nothing")
	}
	o.verifyAll()
	if got := o.p.Usage().Used; got < 115<<10 {
		t.Errorf("two chunks held only %d bytes before memory was out", got)
	}
	o.free(0)
	o.alloc(100, 2)
	heapLaws(t, h)
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4096, 100_000, 2 << 20, -65536} {
		if _, err := New(Config{ChunkBytes: n}); err == nil || !strings.Contains(err.Error(), "ChunkBytes") {
			t.Errorf("ChunkBytes %d: %v", n, err)
		}
	}
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()
	h := newHeap(t, Config{})
	mine, other := h.NewPool(Value), h.NewPool(Value)
	small, _ := mine.Alloc(10)
	large, _ := mine.Alloc(1 << 20)
	for name, do := range map[string]func(){
		"Alloc below 0":             func() { mine.Alloc(-1) },
		"Free of another's object":  func() { other.Alloc(10); other.Free(small) },
		"Free of another's mapping": func() { other.Free(large) },
		"a purpose that is none":    func() { h.NewPool(purposes) },
	} {
		if msg := panicOf(do); msg == "" {
			t.Errorf("%s does not panic", name)
		}
	}
}

func panicOf(do func()) (msg string) {
	defer func() {
		if r := recover(); r != nil {
			msg = fmt.Sprint(r)
		}
	}()
	do()
	return ""
}
