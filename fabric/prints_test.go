package fabric

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// fill writes one key in each of n regions.
func fill(t *testing.T, f *Fabric, n int) {
	t.Helper()
	for i := range n {
		set(t, region(t, f, fmt.Sprint("r", i)), "k", "v")
	}
}

// One changed region among many costs what it takes to find it, and not a list of all.
func TestOneChangeAmongManyRegionsCostsLittle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const regions = 10_000
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		fill(t, a, regions)
		time.Sleep(10 * time.Second)
		sameState(t, region(t, a, "r77"), region(t, b, "r77"))
		m.SetLoss(1) // pulls are all there is
		before := b.SyncStats()
		set(t, region(t, a, "r77"), "k", "w")
		time.Sleep(5 * time.Second)
		if got := get(t, region(t, b, "r77"), "k"); got != "w" {
			t.Fatalf("b reads %q", got)
		}
		rep := b.SyncStats().LastPull
		if rep.Rounds > 3 || rep.BytesIn+rep.BytesOut > 10<<10 {
			t.Errorf("the pull that brought it: %+v", rep)
		}
		if all := b.SyncStats().PullBytes - before.PullBytes; all > 10<<10 {
			t.Errorf("%d bytes came by pulls", all)
		}
		t.Logf("%d bytes in, %d out, %d round trips", rep.BytesIn, rep.BytesOut, rep.Rounds)
	})
}

// Nodes that know only the first version of the protocol, and this one, keep in step.
func TestEarlierVersionKeepsInStep(t *testing.T) {
	for _, old := range []string{"a", "b", "both"} {
		bubble.Test(t, func(t *testing.T) {
			m := NewMesh(1)
			open := func(id crdt.NodeID) *Fabric {
				c := Config{Seed: 7}
				if old == "both" || old == string(id) {
					c.lack = ourAbilities
				}
				return nodeWith(t, m, id, c)
			}
			a, b := open("a"), open("b")
			fill(t, a, 300)
			time.Sleep(10 * time.Second)
			m.SetLoss(1)
			for i := range 3 {
				set(t, region(t, a, fmt.Sprint("r", i)), "k", "of a")
				set(t, region(t, b, fmt.Sprint("s", i)), "k", "of b")
			}
			time.Sleep(10 * time.Second)
			for _, name := range []string{"r0", "r1", "r2", "r299", "s0", "s1", "s2"} {
				sameState(t, region(t, a, name), region(t, b, name))
			}
			if lag := region(t, a, "r0").status().Lag["b"]; lag.Writes != 0 || lag.AgeMS < 0 {
				t.Errorf("old %s: lag of b: %+v", old, lag)
			}
		})
	}
}

// What a peer is known to have seen is what both had when they were in step, whatever changed since, and in whichever
// bucket.
func TestKnowledgeOfPeersInStep(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		fill(t, a, 100)
		time.Sleep(5 * time.Second)
		m.Cut("a", "b")
		ra := region(t, a, "r5")
		for i := range 3 {
			set(t, ra, fmt.Sprint(i), "v")
			a.mesh.prints.snapshot(nil)
		}
		if lag := ra.status().Lag["b"]; lag.Writes != 3 || lag.Missing != 0 || lag.AgeMS < 0 {
			t.Errorf("b lacks 3 writes of r5; lag %+v", lag)
		}
		if lag := region(t, a, "r6").status().Lag["b"]; lag.Writes != 0 || lag.AgeMS < 0 {
			t.Errorf("b lacks nothing of r6; lag %+v", lag)
		}
		set(t, region(t, b, "r7"), "k", "x")
		m.Heal("a", "b")
		time.Sleep(5 * time.Second)
		for i := range 100 {
			if lag := region(t, a, fmt.Sprint("r", i)).status().Lag["b"]; lag != (Lag{AgeMS: lag.AgeMS, Up: true}) || lag.AgeMS < 0 {
				t.Errorf("r%d: lag %+v", i, lag)
			}
		}
	})
}

// The fingerprints that are kept are those that a count from the beginning gives.
func TestFingerprintsAreKeptRight(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		for round := range 20 {
			for i := range 10 {
				f := []*Fabric{a, b}[(i+round)%2]
				set(t, region(t, f, fmt.Sprint("r", i*round%7)), fmt.Sprint(i), "v")
			}
			if round%3 == 0 {
				time.Sleep(time.Second)
			}
			synctest.Wait()
			for _, f := range []*Fabric{a, b} {
				got, _ := f.mesh.prints.snapshot(nil)
				var want snapshot
				for _, r := range f.all() { // nothing runs
					h := fingerprint(r.id, r.core.ContextHash())
					want.all ^= h
					want.bucket[r.bucket()] ^= h
				}
				if *got != want {
					t.Fatalf("%s, round %d: fingerprints %x, counted %x", f.cfg.Name, round, got.all, want.all)
				}
			}
		}
	})
}
