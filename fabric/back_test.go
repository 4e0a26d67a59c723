package fabric

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// parted gives two nodes that shared 1,000 entries, each removed and overwrote some of its own while they were apart, and
// forgot the removes.
func parted(t *testing.T, a, b Config) (m *Mesh, x, y *Fabric) {
	t.Helper()
	m = NewMesh(1)
	a.Seed, a.MaxGhosts, b.Seed, b.MaxGhosts = 1, 1, 2, 1
	x, y = nodeWith(t, m, "a", a), nodeWith(t, m, "b", b)
	change(t, region(t, x, "r"), func(tx *crdt.Tx) error {
		for i := range 1000 {
			tx.Set(fmt.Sprintf("k%04d", i), []byte("both"), false)
		}
		return nil
	})
	time.Sleep(20 * time.Second)
	sameState(t, region(t, x, "r"), region(t, y, "r"))
	m.Cut("a", "b")
	for n, f := range []*Fabric{x, y} {
		change(t, region(t, f, "r"), func(tx *crdt.Tx) error {
			for i := range 20 {
				tx.Del(fmt.Sprintf("k%04d", 100*n+i))
				tx.Set(fmt.Sprintf("k%04d", 100*n+50+i), []byte("of one"), false)
			}
			return nil
		})
	}
	time.Sleep(10 * time.Second)
	for _, f := range []*Fabric{x, y} {
		if s := region(t, f, "r").status(); s.Ghosts != 0 || len(s.Floors) == 0 {
			t.Fatalf("ghosts that are not forgotten: %d, floors %v", s.Ghosts, s.Floors)
		}
	}
	return m, x, y
}

func change(t *testing.T, r *Region, fn func(tx *crdt.Tx) error) {
	t.Helper()
	if err := r.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// TestOnePullForBoth: two that both changed and both forgot compare once.
func TestOnePullForBoth(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m, a, b := parted(t, Config{}, Config{})
		before := a.SyncStats().PullBytes + b.SyncStats().PullBytes
		m.Heal("a", "b")
		time.Sleep(time.Second)
		sameState(t, region(t, a, "r"), region(t, b, "r"))
		if n := region(t, b, "r").status().Entries; n != 960 {
			t.Errorf("%d entries, want 960", n)
		}
		if all := a.SyncStats().PullBytes + b.SyncStats().PullBytes - before; all > 3200 {
			t.Errorf("%d bytes for 80 differences", all)
		} else {
			t.Logf("%d bytes for 80 differences", all)
		}
	})
}

// TestOnePullForBothWithEarlier: a node that does not know of it reconciles as before, on whichever side it is.
func TestOnePullForBothWithEarlier(t *testing.T) {
	for _, lack := range [][2]abilities{{canBack, 0}, {0, canBack}, {canBack, canBack}} {
		bubble.Test(t, func(t *testing.T) {
			m, a, b := parted(t, Config{lack: lack[0]}, Config{lack: lack[1]})
			m.Heal("a", "b")
			time.Sleep(2 * time.Second)
			sameState(t, region(t, a, "r"), region(t, b, "r"))
			if n := a.mesh.failures.Load() + b.mesh.failures.Load(); n > 0 {
				t.Errorf("%d pulls failed", n)
			}
		})
	}
}

// TestFollowsOnce: what was promised for the next pull and did not come is sent when the leader asks again.
func TestFollowsOnce(t *testing.T) {
	t.Parallel()
	p, id := newPeer("a", 0), crdt.RegionIDOf("r")
	if p.follow(id, false, false) || !p.follow(id, true, false) || p.follow(id, true, false) {
		t.Error("it follows without having forgotten, or not at first, or again without having given back")
	}
	if !p.follow(id, true, true) || p.follow(id, true, true) || p.owes(id) {
		t.Error("it gives back what it has just answered")
	}
	p.pulledFrom(map[crdt.RegionID]*crdt.Receiver{id: nil})
	if !p.owes(id) || !p.follow(id, true, true) {
		t.Error("a pull that is over decides on the next")
	}
	p.gave(id)
	for range 2 {
		if !p.follow(id, true, true) {
			t.Error("what was given back is sent again")
		}
	}
}
