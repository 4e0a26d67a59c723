package main

import (
	"context"
	"flag"
	"runtime"
	"time"
)

// The Go map that embedded use is compared with: map[string][]byte, values copied in, nothing else.

func goMap(n int) map[string][]byte {
	m := make(map[string][]byte)
	next := valueSource(1)
	for _, k := range keysInOrder(n) {
		m[k] = next()
	}
	return m
}

// probeReadGoMap gives nanoseconds for a read at n keys.
func probeReadGoMap(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 1_000_000, "keys")
	span := fs.Duration("for", 2*time.Second, "time to read for")
	return func(context.Context) (values, error) {
		m := goMap(*n)
		return values{"ns": timeReads(keysShuffled(*n), *span, func(k string) byte { return m[k][0] })}, nil
	}
}

// timeReads gives nanoseconds a read, over the keys again and again, in blocks between looks at the clock.
func timeReads(keys []string, span time.Duration, read func(k string) byte) float64 {
	const block = 1000
	runtime.GC()
	reads, sum := 0, byte(0)
	began := time.Now()
	for i := 0; time.Since(began) < span; i = (i + block) % len(keys) {
		some := keys[i:min(i+block, len(keys))]
		for _, k := range some {
			sum += read(k)
		}
		reads += len(some)
	}
	runtime.KeepAlive(sum) // what was read is used, so that the compiler cannot leave the reads out
	return float64(time.Since(began).Nanoseconds()) / float64(reads)
}

// probeGCGoMap gives milliseconds for a full collection with n entries live.
func probeGCGoMap(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 5_000_000, "entries")
	return func(context.Context) (values, error) {
		m := goMap(*n)
		got := values{"ms": timeGC()}
		runtime.KeepAlive(m)
		return got, nil
	}
}

// timeGC gives the median of a few full collections, after one that clears up what loading left.
func timeGC() float64 {
	const collections = 5
	runtime.GC()
	var took []float64
	for range collections {
		began := time.Now()
		runtime.GC()
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return median(took)
}
