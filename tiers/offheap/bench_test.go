package offheap

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func BenchmarkAllocFree(b *testing.B) {
	for _, n := range []int{16, 100, 130, 1000, 8000, 100_000} {
		b.Run(fmt.Sprintf("pool/%d", n), func(b *testing.B) { benchPool(b, n) })
		b.Run(fmt.Sprintf("make/%d", n), func(b *testing.B) { benchMake(b, n) })
	}
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

// BenchmarkResident is what the system holds for five million records, beside what they asked for.
func BenchmarkResident(b *testing.B) {
	const count = 5_000_000
	for b.Loop() {
		before := resident()
		h := newHeap(b, Config{})
		p := h.NewPool(Value)
		for range count {
			_, buf := p.Alloc(130)
			clear(buf)
		}
		b.ReportMetric(float64(resident()-before)/count, "RSS/object")
		b.ReportMetric(float64(h.Resident())/count, "accounted/object")
		p.Drop()
		h.Trim(time.Time{}, 0)
		b.ReportMetric(float64(resident()-before)/(1<<20), "MB-after")
	}
}

// resident reads proc(5)'s statm: pages, of which in memory.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
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
	i, sum := 0, byte(0)
	for b.Loop() {
		sum += p.Bytes(refs[i&1023])[5]
		i++
	}
	sink = sum
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
	i, sum := 0, byte(0)
	for b.Loop() {
		sum += r.Bytes(refs[i&1023])[5]
		i++
	}
	sink = sum
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
