package offheap

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

func BenchmarkAllocFree(b *testing.B) {
	for _, n := range []int{16, 100, 130, 1000, 8000, 100_000} {
		b.Run("pool/"+size(n), func(b *testing.B) { benchPool(b, n) })
		b.Run("make/"+size(n), func(b *testing.B) { benchMake(b, n) })
	}
}

func size(n int) string { return map[bool]string{true: "large"}[n > 32<<10] + itoa(n) }

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// Both replace one of many live objects by a new one, as overwrites do.
func benchPool(b *testing.B, n int) {
	h := newHeap(b, Config{})
	p := h.NewPool(Value)
	live := make([]Ref, min(1<<16, 64<<20/n))
	for i := range live {
		live[i], _ = p.Alloc(n)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.Free(live[i])
		ref, buf := p.Alloc(n)
		buf[0] = 1
		live[i] = ref
		if i++; i == len(live) {
			i = 0
		}
	}
}

func benchMake(b *testing.B, n int) {
	live := make([][]byte, min(1<<16, 64<<20/n))
	for i := range live {
		live[i] = make([]byte, n)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		live[i] = make([]byte, n)
		if i++; i == len(live) {
			i = 0
		}
	}
}

func BenchmarkFill(b *testing.B) {
	h := newHeap(b, Config{})
	p := h.NewPool(Value)
	for b.Loop() {
		if p.Usage().Used > 512<<20 {
			p.Drop()
		}
		_, buf := p.Alloc(130)
		buf[0] = 1
	}
}

var sink byte

func BenchmarkBytes(b *testing.B) {
	h := newHeap(b, Config{})
	p := h.NewPool(Value)
	refs := make([]Ref, 1024)
	for i := range refs {
		refs[i], _ = p.Alloc(130)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		sink += p.Bytes(refs[i&1023])[5]
		i++
	}
}

type reader interface{ Bytes(uint64) []byte }

func BenchmarkBytesThroughInterface(b *testing.B) {
	h := newHeap(b, Config{})
	p := h.NewPool(Value)
	refs := make([]Ref, 1024)
	for i := range refs {
		refs[i], _ = p.Alloc(130)
	}
	var r reader = p
	i := 0
	for b.Loop() {
		sink += r.Bytes(refs[i&1023])[5]
		i++
	}
}

// BenchmarkCollect is a full collection with five million live objects, beside the same in Go slices.
func BenchmarkCollect(b *testing.B) {
	const count = 5_000_000
	b.Run("pool", func(b *testing.B) {
		h := newHeap(b, Config{})
		p := h.NewPool(Value)
		refs := make([]Ref, count)
		for i := range refs {
			refs[i], _ = p.Alloc(130)
		}
		collect(b)
		runtime.KeepAlive(refs)
	})
	b.Run("make", func(b *testing.B) {
		objects := make([][]byte, count)
		for i := range objects {
			objects[i] = make([]byte, 130)
		}
		collect(b)
		runtime.KeepAlive(objects)
	})
}

func collect(b *testing.B) {
	runtime.GC()
	start, rounds := time.Now(), 0
	for b.Loop() {
		runtime.GC()
		rounds++
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds())/float64(rounds), "ms/GC")
}

func BenchmarkRandomFree(b *testing.B) {
	h := newHeap(b, Config{})
	p := h.NewPool(Value)
	refs := make([]Ref, 2_000_000)
	for i := range refs {
		refs[i], _ = p.Alloc(130)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		i := rng.IntN(len(refs))
		p.Free(refs[i])
		refs[i], _ = p.Alloc(130)
	}
}

func BenchmarkRandomBytes(b *testing.B) {
	h := newHeap(b, Config{})
	p := h.NewPool(Value)
	refs := make([]Ref, 2_000_000)
	for i := range refs {
		refs[i], _ = p.Alloc(130)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		sink += p.Bytes(refs[rng.IntN(len(refs))])[5]
	}
}
