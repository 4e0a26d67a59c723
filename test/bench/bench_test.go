package main

import (
	"fmt"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// The in-process rows in the form that benchstat reads:
//
//	go test -run '^$' -bench . -count 10 ./test/bench

func BenchmarkWrite(b *testing.B) {
	r, keys := loaded(b, 100_000)
	next := valueSource(2)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := put(b.Context(), r, keys[i%len(keys)], next()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("edgemem/keys=%d", n), func(b *testing.B) {
			r, keys := loaded(b, n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.View(func(v *crdt.View) {
					if val, ok, err := v.Get(keys[i%n]); err != nil || !ok || len(val) != valueBytes {
						b.Errorf("%s: %d bytes, %v, %v", keys[i%n], len(val), ok, err)
					}
				})
			}
		})
		b.Run(fmt.Sprintf("gomap/keys=%d", n), func(b *testing.B) {
			m, keys := goMap(n), keysShuffled(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if val := m[keys[i%n]]; val[0]+val[valueBytes-1] == 0 && len(val) != valueBytes {
					b.Errorf("%s: %d bytes", keys[i%n], len(val))
				}
			}
		})
	}
}

func loaded(b *testing.B, n int) (*fabric.Region, []string) {
	b.Helper()
	r, done, err := openAlone(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(done)
	if err := putAll(b.Context(), r, keysInOrder(n), 1); err != nil {
		b.Fatal(err)
	}
	return r, keysShuffled(n)
}
