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

// BenchmarkHello is the cost of one hello's fingerprints at a node with 10,000 regions, of which some changed.
func BenchmarkHello(b *testing.B) {
	for _, changed := range []int{0, 1, 10_000} {
		b.Run(fmt.Sprint(changed, "changed"), func(b *testing.B) {
			f, err := Open(b.Context(), Config{Name: "n", Transport: NewMesh(1).Node("n")})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			regions := make([]*Region, 10_000)
			for i := range regions {
				if regions[i], err = f.Region(fmt.Sprint("vehicle:", i)); err != nil {
					b.Fatal(err)
				}
				if err := RegisterOf[string](regions[i], "k").Set(b.Context(), "v"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for _, r := range regions[:changed] {
					_ = RegisterOf[string](r, "k").Set(b.Context(), "v")
				}
				b.StartTimer()
				f.mesh.prints.snapshot(nil)
			}
		})
	}
}
