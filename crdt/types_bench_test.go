package crdt

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkListEnds is a queue of a million elements: one in behind, one out before.
func BenchmarkListEnds(b *testing.B) {
	for _, n := range []int{0, 1000, 100_000} {
		b.Run(fmt.Sprint("length=", n), func(b *testing.B) {
			r := NewRegion(Config{Name: "t", Self: testOrigin(1)})
			val := []byte("0123456789")
			push := func(tx *Tx) error { k, _ := tx.ListLen("l"); return tx.ListInsert("l", k, val) }
			for range n {
				if err := r.Update(testNow, push); err != nil {
					b.Fatal(err)
				}
			}
			_ = r.TakeDirty()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := r.Update(testNow, push); err != nil {
					b.Fatal(err)
				}
				if err := r.Update(testNow, func(tx *Tx) error { _, err := tx.ListRemove("l", 0, 1); return err }); err != nil {
					b.Fatal(err)
				}
				if i%4096 == 0 {
					_ = r.TakeDirty()
					_ = r.Tick(testNow)
				}
			}
		})
	}
}

// BenchmarkSortedSet writes scores of random members of a sorted set whose order is kept.
func BenchmarkSortedSet(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		for _, ordered := range []bool{false, true} {
			b.Run(fmt.Sprintf("members=%d/ordered=%v", n, ordered), func(b *testing.B) {
				r := NewRegion(Config{Name: "t", Self: testOrigin(1)})
				rng := rand.New(rand.NewPCG(1, 1))
				for i := range n {
					_ = r.Update(testNow, func(tx *Tx) error { _, err := tx.SortedSet("z", fmt.Sprint(i), rng.Float64()); return err })
				}
				_ = r.TakeDirty()
				names := make([]string, 4096)
				for i := range names {
					names[i] = fmt.Sprint(rng.IntN(n))
				}
				before := r.Memory().Total()
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					_ = r.Update(testNow, func(tx *Tx) error {
						if ordered && i%1024 == 0 {
							_, _, _ = tx.SortedRank("z", names[0])
						}
						_, err := tx.SortedSet("z", names[i%len(names)], rng.Float64())
						return err
					})
					if i%4096 == 0 {
						_ = r.TakeDirty()
					}
				}
				b.ReportMetric(float64(r.Memory().Total()-before)/float64(n), "order-bytes/member")
			})
		}
	}
}

// BenchmarkStream adds entries to a stream of a length that is kept, with readers that go on by arrival.
func BenchmarkStream(b *testing.B) {
	for _, readers := range []int{0, 1, 10} {
		b.Run(fmt.Sprint("readers=", readers), func(b *testing.B) {
			const length = 100_000
			r := NewRegion(Config{Name: "t", Self: testOrigin(1)})
			fields := [][]byte{[]byte("value"), make([]byte, 100)}
			places := make([]StreamCursor, readers)
			add := func(tx *Tx) error {
				if _, err := tx.StreamAppend("s", fields); err != nil {
					return err
				}
				for i := range places {
					places[i], _ = tx.StreamRead("s", places[i], 0, func(StreamID, [][]byte) bool { return true })
				}
				n, _ := tx.StreamLen("s")
				_, err := tx.StreamTrim("s", n-length)
				return err
			}
			for i := range length {
				if err := r.Update(testNow+int64(i)/50, add); err != nil {
					b.Fatal(err)
				}
			}
			_ = r.TakeDirty()
			bytes := float64(r.Memory().Total()) / length
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := r.Update(testNow+int64(length+i)/50, add); err != nil {
					b.Fatal(err)
				}
				if i%4096 == 0 {
					_ = r.TakeDirty()
					_ = r.Tick(testNow)
				}
			}
			b.ReportMetric(bytes, "bytes/entry")
		})
	}
}
