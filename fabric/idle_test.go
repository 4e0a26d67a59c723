package fabric

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// What two nodes in step say to each other does not grow with the number of their regions.
func TestIdleRegionsCostNoTraffic(t *testing.T) {
	var bytes []uint64
	for _, regions := range []int{1, 1000} {
		bubble.Test(t, func(t *testing.T) {
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

// BenchmarkIdleRegions is what 10,000 regions of one key each cost a node that is in step with a peer: heap bytes a region,
// and the time of a check that finds no difference, on both sides together.
func BenchmarkIdleRegions(b *testing.B) {
	const regions = 10_000
	m := NewMesh(1)
	open := func(id crdt.NodeID) *Fabric {
		f, err := Open(b.Context(), Config{Name: string(id), Transport: m.Node(id), Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		return f
	}
	x, y := open("x"), open("y")
	before := heap()
	for i := range regions {
		r, err := x.Region(fmt.Sprint("vehicle:", i))
		if err == nil {
			err = RegisterOf[string](r, "position").Set(b.Context(), "48.2082,16.3738")
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	p, l := y.mesh.peer("x"), newLink()
	inStep := func() bool {
		ours, _ := x.mesh.prints.snapshot(nil)
		theirs, _ := y.mesh.prints.snapshot(nil)
		return ours.all == theirs.all
	}
	for deadline := time.Now().Add(time.Minute); !inStep(); {
		if _, err := y.mesh.pullFrom(b.Context(), p, l, becauseConnected); err != nil && time.Now().After(deadline) {
			b.Fatal("not in step: ", err)
		}
	}
	perRegion := float64(heap()-before) / regions / 2
	for b.Loop() {
		if _, err := y.mesh.pullFrom(b.Context(), p, l, becauseTime); err != nil {
			b.Fatal(err)
		}
		for busy := true; busy; runtime.Gosched() { // the other side ends a little later
			x.mesh.mu.Lock()
			busy = len(x.mesh.streams) > 0
			x.mesh.mu.Unlock()
		}
	}
	b.ReportMetric(perRegion, "B/region")
}

// heap gives the bytes that are in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
