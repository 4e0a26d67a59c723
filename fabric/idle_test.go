package fabric

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// What two nodes in step say to each other does not grow with the number of their regions.
func TestIdleRegionsCostNoTraffic(t *testing.T) {
	var bytes []uint64
	for _, regions := range []int{1, 1000} {
		synctest.Test(t, func(t *testing.T) {
			m := NewMesh(1)
			a, b := node(t, m, "a"), node(t, m, "b")
			for i := range regions {
				set(t, region(t, a, fmt.Sprint("r", i)), "k", "v")
			}
			time.Sleep(10 * time.Second)
			sameState(t, region(t, a, "r0"), region(t, b, "r0"))
			before, asked := b.SyncStats(), a.SyncStats()
			time.Sleep(time.Hour)
			after, served := b.SyncStats(), a.SyncStats()
			n := after.Pulls - before.Pulls
			if n < 5 || n > 40 {
				t.Errorf("%d pulls in an idle hour", n)
			}
			bytes = append(bytes, (after.PullBytes-before.PullBytes)/n, (served.ServedBytes-asked.ServedBytes)/n)
			if lag, ok := a.Regions()[0].Lag["b"]; !ok || lag.Writes != 0 || lag.AgeMS < 0 {
				t.Errorf("lag of b: %+v", lag)
			}
		})
	}
	for i, n := range bytes {
		if n > 16 {
			t.Errorf("%d bytes a hello (%v)", n, bytes)
		}
		if n != bytes[i%2] {
			t.Errorf("the cost of a hello grows with the number of regions: %v", bytes)
		}
	}
}

// BenchmarkSummaries is the cost of one hello at a node with many idle regions.
func BenchmarkSummaries(b *testing.B) {
	f, err := Open(b.Context(), Config{Name: "n"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for i := range 10_000 {
		r, err := f.Region(fmt.Sprint("vehicle:", i))
		if err != nil {
			b.Fatal(err)
		}
		if err := RegisterOf[string](r, "k").Set(b.Context(), "v"); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		f.summaries()
	}
}
