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

// BenchmarkHandles has each typed handle beside the same done on the region without one: it is to cost no more than half as much again.
func BenchmarkHandles(b *testing.B) {
	r, ctx := benchRegion(b), context.Background()
	const field = "field"
	val := make([]byte, 100)
	reg, n, set, m := RegisterOf[[]byte](r, "reg"), CounterOf(r, "n"), SetOf[string](r, "set"), MapOf[string](r, "map")
	for _, err := range []error{reg.Set(ctx, val), m.Set(ctx, field, "v")} {
		if err != nil {
			b.Fatal(err)
		}
	}
	_, _ = n.Add(ctx, 1)
	_, _ = set.Add(ctx, field)
	for _, c := range []struct {
		name        string
		handle, raw func() error
	}{
		{"counter-read", func() error { _, err := n.Value(); return err },
			func() (err error) { _ = r.View(func(v *crdt.View) { _, err = v.Int("n") }); return err }},
		{"counter-add", func() error { _, err := n.Add(ctx, 1); return err },
			func() error {
				return r.Update(ctx, func(tx *crdt.Tx) error { _, err := tx.Incr("n", 1); return err })
			}},
		{"register-read", func() error { _, err := reg.Get(); return err },
			func() (err error) {
				_ = r.View(func(v *crdt.View) {
					var got []byte
					got, _, err = v.Get("reg")
					benchBytes = append([]byte{}, got...) // what is read is the region's until View returns
				})
				return err
			}},
		{"register-write", func() error { return reg.Set(ctx, val) },
			func() error {
				return r.Update(ctx, func(tx *crdt.Tx) error { tx.Set("reg", append([]byte{}, val...), false); return nil })
			}},
		{"map-read", func() error { _, err := m.Get(field); return err },
			func() (err error) {
				_ = r.View(func(v *crdt.View) {
					var got []byte
					got, _, err = v.MapGet("map", field)
					benchText = string(got)
				})
				return err
			}},
		{"set-has", func() error { _, err := set.Has(field); return err },
			func() (err error) { _ = r.View(func(v *crdt.View) { _, err = v.SetHas("set", field) }); return err }},
	} {
		for name, do := range map[string]func() error{"handle": c.handle, "raw": c.raw} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// What benchmarks read is kept, so that the compiler makes it.
var (
	benchBytes []byte
	benchText  string
)
