package fabric

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// A limit of either side is kept, and a session that it slows down is no stalled one.
func TestLimitRateIsKept(t *testing.T) {
	for _, c := range []struct{ server, puller, want int }{
		{2 << 10, 0, 2 << 10}, {0, 2 << 10, 2 << 10}, {8 << 10, 2 << 10, 2 << 10}, {1 << 10, 1 << 10, 1 << 10}, {1 << 20, 0, 1 << 20},
	} {
		t.Run(fmt.Sprint(c.server, "-", c.puller), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				m := NewMesh(1)
				a := nodeWith(t, m, "a", Config{Seed: 1, LimitRate: c.server})
				size := 60 * c.want // a minute's worth
				for i := range 60 {
					set(t, region(t, a, "default"), fmt.Sprint(i), noise(i, size/60))
				}
				time.Sleep(time.Second) // there is nobody to push to
				start := time.Now()
				b := nodeWith(t, m, "b", Config{Seed: 2, LimitRate: c.puller})
				for region(t, b, "default").status().Entries < 60 && time.Since(start) < 5*time.Minute {
					time.Sleep(100 * time.Millisecond)
				}
				took := time.Since(start)
				if took < 58*time.Second || took > 70*time.Second {
					t.Errorf("%d bytes took %v at %d bytes a second", size, took, c.want)
				}
				if s := b.SyncStats(); s.PullFailures > 0 {
					t.Errorf("%d pulls broke off", s.PullFailures)
				}
			})
		})
	}
}

// One peer's limit does not slow down another's link.
func TestLimitIsOfOneLink(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := nodeWith(t, m, "a", Config{Seed: 1, LimitRate: 10 << 10})
		for i := range 60 {
			set(t, region(t, a, "default"), fmt.Sprint(i), noise(i, 10<<10))
		}
		time.Sleep(time.Second)
		var all []*Fabric
		start := time.Now()
		for i := range 5 {
			all = append(all, node(t, m, crdt.NodeID(fmt.Sprint("n", i))))
			for j := range i {
				m.Cut(all[i].Node(), all[j].Node())
			}
		}
		time.Sleep(70*time.Second - time.Since(start))
		for _, f := range all {
			if n := region(t, f, "default").status().Entries; n != 60 {
				t.Errorf("%s has %d entries", f.cfg.Name, n)
			}
		}
	})
}

// While a pull runs it says how far it is and how long it will take; one that goes on after a cut begins where that was.
func TestPullTellsItsProgress(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const keys, size, rate = 1000, 10_000, 100_000 // 100 s
		m := NewMesh(1)
		a := node(t, m, "a")
		for i := range keys {
			set(t, region(t, a, "default"), fmt.Sprint(i), noise(i, size))
		}
		time.Sleep(time.Second)
		reg := prometheus.NewRegistry()
		b := nodeWith(t, m, "b", Config{Seed: 2, LimitRate: rate, Registerer: reg})
		running := func() *PullProgress {
			t.Helper()
			list := b.SyncStats().Pulling
			if len(list) != 1 || list[0].Region != "default" || list[0].Peer != "a" {
				t.Fatalf("running: %+v", list)
			}
			return &list[0]
		}
		time.Sleep(30 * time.Second)
		p := running()
		if p.Covered < 0.2 || p.Covered > 0.35 || p.Bytes < 2<<20 || p.Bytes > 4<<20 {
			t.Errorf("after 30 of 100 s: %+v", p)
		}
		if eta := time.Duration(p.ETAMillis) * time.Millisecond; eta < 60*time.Second || eta > 80*time.Second {
			t.Errorf("70 s are left: %+v", p)
		}
		if p.BytesLeft < 6<<20 || p.BytesLeft > 8<<20 {
			t.Errorf("7 MB are left: %+v", p)
		}
		if got := gathered(t, reg, "edgemem_pull_running_covered_ratio"); got != p.Covered {
			t.Errorf("the metric says %v, want %v", got, p.Covered)
		}
		m.Cut("a", "b")
		synctest.Wait()
		if list := b.SyncStats().Pulling; len(list) > 0 {
			t.Errorf("nothing runs: %+v", list)
		}
		m.Heal("a", "b")
		time.Sleep(10 * time.Second)
		if q := running(); q.Covered < p.Covered || q.Bytes > 2<<20 {
			t.Errorf("it goes on at %+v after %+v", q, p)
		}
		time.Sleep(80 * time.Second)
		sameState(t, region(t, a, "default"), region(t, b, "default"))
		if list := b.SyncStats().Pulling; len(list) > 0 {
			t.Errorf("it ended: %+v", list)
		}
	})
}

// gathered gives the value of a gauge that has one series.
func gathered(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no series %s", name)
	return 0
}

// noise gives n bytes that do not compress.
func noise(seed, n int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}
