package fabric

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// No more are served at once than there are places, no more wait than the line holds, and who is sent away gets a time of
// its own.
func TestGateIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := &gate{takes: 800 * time.Millisecond}
		var places []*place
		for range servingMax {
			p, _, err := g.enter(t.Context())
			if p == nil || err != nil {
				t.Fatal("no place, and all are free")
			}
			places = append(places, p)
		}
		got := make(chan *place, lineMax)
		for range lineMax {
			go func() {
				p, _, _ := g.enter(t.Context())
				got <- p
			}()
		}
		synctest.Wait()
		seen := map[time.Duration]int{}
		for range 50 {
			p, retry, err := g.enter(t.Context())
			if p != nil || err != nil {
				t.Fatal("a place beyond the line")
			}
			seen[retry]++
			if retry < busyMin || retry > busyMax {
				t.Errorf("come back in %v", retry)
			}
		}
		if len(seen) < 50 {
			t.Errorf("50 that were sent away are expected at %d moments", len(seen))
		}
		if s := g.stats(); s != (GateStats{Serving: servingMax, Waiting: lineMax, Peak: servingMax, Refused: 50}) {
			t.Errorf("%+v", s)
		}
		for _, p := range places {
			p.leave()
		}
		synctest.Wait()
		for range servingMax { // the first of the line
			(<-got).leave()
		}
		time.Sleep(lineWait)
		for range lineMax - servingMax {
			if p := <-got; p != nil {
				p.leave()
			}
		}
		if s := g.stats(); s.Serving != 0 || s.Waiting != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// An answer that takes long makes room for those who wait, and too many such answers end.
func TestLongAnswersMakeRoom(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := &gate{}
		var long []*place
		ended := 0
		const more = 8
		for range servingMax + slowMax + more {
			p, _, err := g.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if p == nil {
				t.Fatal("nobody made room")
			}
			long = append(long, p)
			if g.stats().Serving-g.slow < servingMax {
				continue
			}
			time.Sleep(placeTurn)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { // somebody waits
				defer close(done)
				if w, _, _ := g.enter(ctx); w != nil {
					w.leave()
				}
			}()
			synctest.Wait()
			for i, l := range long {
				if l == nil {
					continue
				}
				if goOn, retry := l.yield(true); !goOn {
					if retry <= 0 {
						t.Error("no time to come back")
					}
					l.leave()
					long[i] = nil
					ended++
				}
			}
			synctest.Wait()
			cancel()
			<-done
		}
		// The last still holds the place that it made free.
		if g.slow != slowMax || ended != more+1 {
			t.Errorf("%d long answers go on beside the places, %d ended", g.slow, ended)
		}
		if s := g.stats(); s.Peak > servingMax+slowMax {
			t.Errorf("%+v", s)
		}
	})
}

// Many nodes come back to one hub at once, each with a few neighbours. However many they are, the hub answers a bounded
// number of pulls at a time, sends the others away, and neighbours share the load.
func TestRejoinOfManyIsNoStorm(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const nodes, keys, size = 80, 300, 1000
		m := NewMesh(1)
		hub := node(t, m, "hub")
		var all []*Fabric
		for i := range nodes {
			id := crdt.NodeID(fmt.Sprintf("n%03d", i))
			for j := range i {
				if other := crdt.NodeID(fmt.Sprintf("n%03d", j)); !near(i, other, nodes) {
					m.Cut(id, other)
				}
			}
			all = append(all, nodeWith(t, m, id, Config{Seed: uint64(i + 1)}))
		}
		time.Sleep(5 * time.Second)
		for i := range nodes {
			m.Cut("hub", all[i].Node())
			for j := range i {
				m.Cut(all[i].Node(), all[j].Node())
			}
		}
		r := region(t, hub, "default")
		for k := range keys {
			set(t, r, fmt.Sprint(k), noise(k, size))
		}
		for i, f := range all {
			set(t, region(t, f, "default"), fmt.Sprint("of ", i), "v")
		}
		time.Sleep(10 * time.Second)
		served := hub.SyncStats().ServedBytes
		start := time.Now()
		m.SetLoss(1)
		m.SetRate(1 << 20)
		for i := range nodes {
			m.Heal("hub", all[i].Node())
			for j := range i {
				if near(i, all[j].Node(), nodes) {
					m.Heal(all[i].Node(), all[j].Node())
				}
			}
		}
		for !converged(append(all, hub)) {
			if time.Since(start) > 5*time.Minute {
				t.Fatal("they do not converge")
			}
			time.Sleep(100 * time.Millisecond)
		}
		peak, refused := 0, uint64(0)
		for _, f := range append(all, hub) {
			s := f.SyncStats().Gate
			peak, refused = max(peak, s.Peak), refused+s.Refused
		}
		if peak > servingMax+slowMax {
			t.Errorf("a node answered %d pulls at once", peak)
		}
		data := float64(keys * size)
		out := float64(hub.SyncStats().ServedBytes-served) / data
		t.Logf("%d nodes in step after %v; at most %d pulls answered at once, %d sent away; the hub sent its data %.1f times",
			nodes, time.Since(start), peak, refused, out)
		if out > nodes {
			t.Errorf("the hub sent its data %.1f times to %d nodes", out, nodes)
		}
	})
}

// near reports whether two nodes of a ring are neighbours.
func near(i int, other crdt.NodeID, nodes int) bool {
	var j int
	if n, _ := fmt.Sscanf(string(other), "n%d", &j); n != 1 {
		return false
	}
	d := (i - j + nodes) % nodes
	return d == 1 || d == nodes-1 || d == 2 || d == nodes-2
}

func converged(all []*Fabric) bool {
	want := all[0].Regions()[0]
	for _, f := range all[1:] {
		if got := f.Regions()[0]; got.Digest != want.Digest || !got.Context.Equal(want.Context) {
			return false
		}
	}
	return true
}
