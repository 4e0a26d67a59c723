package fabric

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// churn writes and removes keys, and leaves one.
func churn(t *testing.T, r *Region, n int) {
	t.Helper()
	for i := range n {
		key := fmt.Sprint("gone", i)
		set(t, r, key, "v")
		if _, err := RegisterOf[string](r, key).Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	set(t, r, "stays", "v")
}

func TestGhostsGoWhenAllHaveSeenTheRemove(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		ra := region(t, a, "default")
		synctest.Wait()
		m.Cut("a", "c")
		m.Cut("b", "c")
		churn(t, ra, 100)
		time.Sleep(time.Minute)
		for _, f := range []*Fabric{a, b} {
			if n := region(t, f, "default").status().Ghosts; n != 100 {
				t.Errorf("%s keeps %d ghosts for c, which has not seen the removes", f.Node(), n)
			}
		}
		m.Heal("a", "c")
		time.Sleep(time.Minute)
		if n := ra.status().Ghosts; n != 0 {
			t.Errorf("a keeps %d ghosts although all have seen the removes", n)
		}
		m.Heal("b", "c")
		time.Sleep(time.Minute)
		for _, f := range []*Fabric{b, c} {
			if n := region(t, f, "default").status().Ghosts; n != 0 {
				t.Errorf("%s keeps %d ghosts although all have seen the removes", f.Node(), n)
			}
		}
		d := node(t, m, "d") // one that comes later, below every floor
		time.Sleep(time.Second)
		sameState(t, ra, region(t, b, "default"), region(t, c, "default"), region(t, d, "default"))
	})
}

// tiered opens a node of a tier, with short leases.
func tiered(t *testing.T, m *Mesh, id crdt.NodeID, tier string) *Fabric {
	t.Helper()
	m.SetTier(id, tier)
	f, err := Open(t.Context(), Config{Name: string(id), Tier: tier, Transport: m.Node(id), Seed: 7, Lease: time.Hour, MaxGhostAge: 6 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// A device holds ghosts for as long as its lease. When it is back after that, nothing that was removed comes back with it,
// and what it wrote meanwhile is kept.
func TestDevicesHoldGhostsByLease(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, dev := tiered(t, m, "a", "edge"), tiered(t, m, "dev", "device")
		ra, rd := region(t, a, "default"), region(t, dev, "default")
		for i := range 50 {
			set(t, ra, fmt.Sprint("gone", i), "v")
		}
		time.Sleep(time.Minute)
		m.Cut("a", "dev")
		set(t, rd, "mine", "v")
		churn(t, ra, 50)
		time.Sleep(a.cfg.Lease - time.Minute)
		if n := ra.status().Ghosts; n != 50 {
			t.Errorf("%d ghosts within the lease", n)
		}
		time.Sleep(2 * time.Minute)
		if n := ra.status().Ghosts; n != 0 {
			t.Errorf("%d ghosts after the lease", n)
		}
		if p := a.mesh.peer("dev"); p != nil {
			t.Error("what the device had seen is remembered beyond its lease")
		}
		m.Heal("a", "dev")
		time.Sleep(time.Minute)
		sameState(t, ra, rd)
		if got := get(t, rd, "gone7"); got != "" {
			t.Errorf("a removed key is back: %q", got)
		}
		if got := get(t, ra, "mine"); got != "v" {
			t.Errorf("what the device wrote is lost: %q", got)
		}
	})
}

// A core member holds ghosts until they are too old, or it is retired.
func TestCoreMembersHoldGhosts(t *testing.T) {
	for _, retire := range []bool{false, true} {
		bubble.Test(t, func(t *testing.T) {
			m := NewMesh(1)
			a, b := tiered(t, m, "a", "edge"), tiered(t, m, "b", "cloud")
			ra := region(t, a, "default")
			set(t, region(t, b, "default"), "k", "v")
			time.Sleep(time.Minute)
			m.Cut("a", "b")
			churn(t, ra, 20)
			time.Sleep(3 * a.cfg.Lease)
			if n := ra.status().Ghosts; n != 20 {
				t.Fatalf("%d ghosts while b may come back", n)
			}
			if retire {
				if _, err := a.RetireNode(t.Context(), "b", false); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			} else {
				time.Sleep(a.cfg.MaxGhostAge - 3*a.cfg.Lease + a.cfg.MaxGhostAge/ageMarks + time.Minute) // it forgets a part at a time
			}
			if n := ra.status().Ghosts; n != 0 {
				t.Errorf("retired %v: %d ghosts", retire, n)
			}
			m.Heal("a", "b")
			time.Sleep(time.Minute)
			sameState(t, ra, region(t, b, "default"))
		})
	}
}

// Ghosts go in parts, one under each lock.
func TestStableGhostsGoInParts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		ra := region(t, a, "default")
		churn(t, ra, 3*pruneStep)
		ra.prune(a.Origin(), 0, pruneStep)
		if n, want := int(ra.ghosts.Load()), 3*pruneStep-pruneStep/2; n != want {
			t.Errorf("%d ghosts after one part, want %d", n, want)
		}
		time.Sleep(11 * time.Second)
		if n := ra.ghosts.Load(); n != 0 {
			t.Errorf("%d ghosts where nobody else is", n)
		}
	})
}
