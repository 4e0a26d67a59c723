package crdt_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// These measure what an entry costs, with keys of 16 bytes and values of 100: time, bytes, and the collector's pauses.
// They tell the processor's time beside the clock's, because the machine may be shared.

const densityNow = int64(1_800_000_000_000)

func densityKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("key:%012d", i)
	}
	return keys
}

func densityRegion(keys []string) *crdt.Region {
	r := crdt.NewRegion(crdt.Config{Name: "t", Self: crdt.NewOrigin("n", crdt.Nonce{1})})
	val := make([]byte, 100)
	for i, k := range keys {
		_ = r.Update(densityNow+int64(i>>9), func(tx *crdt.Tx) error { tx.Set(k, val, false); return nil })
		if i%512 == 511 {
			r.TakeDirty()
		}
	}
	r.TakeDirty()
	return r
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perOp runs fn n times and reports the processor's time for each.
func perOp(b *testing.B, fn func(i int)) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	from := processorTime()
	for i := range b.N {
		fn(i)
	}
	b.ReportMetric(float64((processorTime()-from).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func BenchmarkRead1M(b *testing.B) {
	keys := densityKeys(1_000_000)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	b.Run("region", func(b *testing.B) {
		v := densityRegion(keys).View(densityNow)
		perOp(b, func(i int) {
			if val, ok, _ := v.Get(keys[i%len(keys)]); !ok || val[99] != 0 {
				b.Fatal("absent")
			}
		})
	})
	b.Run("map", func(b *testing.B) {
		m := map[string][]byte{}
		for _, k := range keys {
			m[k] = make([]byte, 100)
		}
		perOp(b, func(i int) {
			if val, ok := m[keys[i%len(keys)]]; !ok || val[99] != 0 {
				b.Fatal("absent")
			}
		})
	})
}

func BenchmarkWrite(b *testing.B) {
	val := make([]byte, 100)
	set := func(r *crdt.Region, key string) {
		_ = r.Update(densityNow, func(tx *crdt.Tx) error { tx.Set(key, val, false); return nil })
	}
	for _, push := range []bool{false, true} {
		cfg := crdt.Config{Name: "t", Self: crdt.NewOrigin("n", crdt.Nonce{1}), Push: push}
		taken := func(r *crdt.Region, i int) {
			if i%512 == 511 {
				r.TakePush()
				r.TakeDirty()
			}
		}
		b.Run("new/push="+strconv.FormatBool(push), func(b *testing.B) {
			keys, r := densityKeys(b.N), crdt.NewRegion(cfg)
			perOp(b, func(i int) { set(r, keys[i]); taken(r, i) })
		})
		b.Run("overwrite/push="+strconv.FormatBool(push), func(b *testing.B) {
			keys, r := densityKeys(1<<17), crdt.NewRegion(cfg)
			for i, k := range keys {
				set(r, k)
				taken(r, i)
			}
			perOp(b, func(i int) { set(r, keys[i*7919%len(keys)]); taken(r, i) })
		})
		b.Run("apply/push="+strconv.FormatBool(push), func(b *testing.B) { // without what makes it durable or spreads it
			keys, r := densityKeys(1<<17), crdt.NewRegion(cfg)
			for _, k := range keys {
				set(r, k)
			}
			r.TakeDirty()
			r.TakePush()
			perOp(b, func(i int) {
				set(r, keys[i*7919%len(keys)])
				if i%(1<<15) == 0 {
					r.TakePush()
				}
			})
		})
	}
}

// BenchmarkBytesPerEntry tells what a million entries take of the heap, and what a full collection takes with five
// million (EDGEMEM_DENSITY=5000000).
func BenchmarkBytesPerEntry(b *testing.B) {
	n := 1_000_000
	if s := os.Getenv("EDGEMEM_DENSITY"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r := crdt.NewRegion(crdt.Config{Name: "t", Self: crdt.NewOrigin("n", crdt.Nonce{1})})
		val := make([]byte, 100)
		for i := range n {
			k := fmt.Sprintf("key:%012d", i)
			_ = r.Update(densityNow+int64(i>>9), func(tx *crdt.Tx) error { tx.Set(k, val, false); return nil })
			if i%512 == 511 {
				r.TakeDirty()
			}
		}
		r.TakeDirty()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "heap-B/entry")
		best := time.Duration(1 << 62)
		for range 5 {
			from := time.Now()
			runtime.GC()
			best = min(best, time.Since(from))
		}
		b.ReportMetric(float64(best.Microseconds())/1000, "gc-ms")
		runtime.KeepAlive(r)
	}
}

// BenchmarkIdleRegion tells what a region costs that holds one entry.
func BenchmarkIdleRegion(b *testing.B) {
	for _, n := range []int{0, 1, 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			keys := densityKeys(n)
			all := make([]*crdt.Region, 1000)
			for range b.N {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				for i := range all {
					all[i] = densityRegion(keys)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(len(all)), "heap-B/region")
				runtime.KeepAlive(all)
				clear(all)
			}
		})
	}
}
