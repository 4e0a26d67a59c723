package fabric

import (
	"context"
	"fmt"
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

func benchRegion(b *testing.B) *Region {
	b.Helper()
	f, err := Open(b.Context(), Config{Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	r, err := f.Region("default")
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("key:%012d", i)
	}
	return keys
}

func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1, 1_000, 1_000_000} {
		b.Run(fmt.Sprint(n, "keys"), func(b *testing.B) {
			r, keys, ctx := benchRegion(b), benchKeys(n), context.Background()
			val := make([]byte, 100)
			for _, k := range keys {
				_ = r.Update(ctx, func(tx *crdt.Tx) error { tx.Set(k, val, false); return nil })
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				k := keys[i%n]
				_ = r.Update(ctx, func(tx *crdt.Tx) error { tx.Set(k, val, false); return nil })
				i += 7919
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 1_000, 1_000_000} {
		b.Run(fmt.Sprint(n, "keys"), func(b *testing.B) {
			r, keys, ctx := benchRegion(b), benchKeys(n), context.Background()
			val := make([]byte, 100)
			for _, k := range keys {
				_ = r.Update(ctx, func(tx *crdt.Tx) error { tx.Set(k, val, false); return nil })
			}
			b.ReportAllocs()
			i, sum := 0, 0
			for b.Loop() {
				k := keys[i%n]
				r.View(func(v *crdt.View) {
					x, _, _ := v.Get(k)
					sum += len(x)
				})
				i += 7919
			}
		})
	}
}

func BenchmarkIncr(b *testing.B) {
	r, ctx := benchRegion(b), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Update(ctx, func(tx *crdt.Tx) error { _, err := tx.Incr("n", 1); return err })
	}
}

// BenchmarkGetOfPlaced is Get of a region whose use is counted, beside one whose use is not.
func BenchmarkGetOfPlaced(b *testing.B) {
	for _, kind := range []string{"everywhere", "demand"} {
		b.Run(kind, func(b *testing.B) {
			f, err := Open(b.Context(), Config{Name: "bench", Transport: NewMesh(1).Node("bench")})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = f.Close() })
			r, err := f.CreateRegion(b.Context(), "r", RegionConfig{Placement: Placement{Kind: kind}})
			if err != nil {
				b.Fatal(err)
			}
			keys := benchKeys(1000)
			for _, k := range keys {
				_ = r.Update(context.Background(), func(tx *crdt.Tx) error { tx.Set(k, make([]byte, 100), false); return nil })
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				var buf []byte
				for i := 0; pb.Next(); i += 7919 {
					buf, _, _ = r.Get(buf[:0], keys[i%1000])
				}
			})
		})
	}
}
