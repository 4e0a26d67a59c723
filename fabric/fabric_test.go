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

// node opens a node in the mesh and closes it with the test.
func node(t *testing.T, m *Mesh, id crdt.NodeID) *Fabric {
	t.Helper()
	return nodeWith(t, m, id, Config{Tier: "edge", Seed: 7, ManualMoves: true})
}

// nodeWith opens a node in the mesh with a configuration that lacks name and transport.
func nodeWith(t *testing.T, m *Mesh, id crdt.NodeID, c Config) *Fabric {
	t.Helper()
	c.Name, c.Transport = string(id), m.Node(id)
	f, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func region(t *testing.T, f *Fabric, name string) *Region {
	t.Helper()
	r, err := f.Region(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get reads a string key; "" if it is absent.
func get(t *testing.T, r *Region, key string) string {
	t.Helper()
	v, err := RegisterOf[string](r, key).Get()
	if err != nil {
		return ""
	}
	return v
}

func set(t *testing.T, r *Region, key, val string) {
	t.Helper()
	if err := RegisterOf[string](r, key).Set(t.Context(), val); err != nil {
		t.Fatal(err)
	}
}

func sameState(t *testing.T, regions ...*Region) {
	t.Helper()
	first := regions[0].status()
	for _, r := range regions[1:] {
		if s := r.status(); s.Digest != first.Digest || !s.Context.Equal(first.Context) || s.Entries != first.Entries {
			t.Errorf("%s: %s has %d entries, digest %s; %s has %d, %s", r.name, first.Name, first.Entries, first.Digest, s.Name, s.Entries, s.Digest)
		}
	}
}

func TestWriteReachesOthersAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		synctest.Wait()
		start := time.Now()
		set(t, region(t, a, "default"), "k", "v")
		synctest.Wait()
		for _, f := range []*Fabric{b, c} {
			if got := get(t, region(t, f, "default"), "k"); got != "v" {
				t.Errorf("%s reads %q", f.cfg.Name, got)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v of virtual time", d)
		}
	})
}

func TestOfflineNodeCatchesUpInOneRoundTrip(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		set(t, ra, "before", "v") // a node's first write says whose writes these are, too
		synctest.Wait()
		m.Cut("a", "b")
		for i := range 10_000 {
			set(t, ra, fmt.Sprint("k", i), "v")
		}
		set(t, rb, "mine", "1")
		time.Sleep(time.Second) // what nobody was there to hear is given up, and left to the pull
		m.Heal("a", "b")
		synctest.Wait()
		if got := get(t, ra, "mine"); got != "1" {
			t.Errorf("a reads %q", got)
		}
		sameState(t, ra, rb)
		rep := b.SyncStats().LastPull
		if rep == nil || rep.Rounds != 1 || rep.News != 10_000 {
			t.Errorf("last pull: %+v", rep)
		}
	})
}

func TestLostPushesArePulled(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		synctest.Wait()
		m.SetLoss(0.5)
		for i := range 200 {
			set(t, ra, fmt.Sprint("k", i), "v")
			set(t, rb, fmt.Sprint("l", i), "v")
			time.Sleep(3 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		sameState(t, ra, rb)
		for id, lag := range ra.status().Lag {
			if lag.Writes != 0 || lag.Missing != 0 {
				t.Errorf("lag of %s: %+v", id, lag)
			}
		}
	})
}

func TestRegionsSpread(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		synctest.Wait()
		if _, err := a.CreateRegion(t.Context(), "cart", RegionConfig{Ack: AckDisk}); err != nil {
			t.Fatal(err)
		}
		set(t, region(t, a, "implicit"), "k", "v")
		time.Sleep(2 * time.Second)
		if r := region(t, b, "cart"); r.Ack() != AckDisk {
			t.Errorf("ack at b: %s", r.Ack())
		}
		if got := get(t, region(t, b, "implicit"), "k"); got != "v" {
			t.Errorf("b reads %q", got)
		}
		names := ""
		for _, s := range b.Regions() {
			names += s.Name + " "
		}
		if names != "cart default implicit " {
			t.Errorf("regions at b: %s", names)
		}
		if err := b.DeleteRegion(t.Context(), "cart"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := a.RegionStatus("cart"); err == nil {
			t.Error("cart is still there at a")
		}
	})
}

func TestManyRegionsTakeTwoTurns(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		for i := range 300 {
			set(t, region(t, a, fmt.Sprint("r", i)), "k", "v")
		}
		b := node(t, m, "b")
		synctest.Wait()
		for i := range 300 {
			if got := get(t, region(t, b, fmt.Sprint("r", i)), "k"); got != "v" {
				t.Fatalf("r%d: %q", i, got)
			}
		}
		m.Cut("a", "b")
		for i := range 200 {
			set(t, region(t, a, fmt.Sprint("r", i)), "k", "w")
		}
		m.Heal("a", "b")
		synctest.Wait()
		for i := range 200 {
			if got := get(t, region(t, b, fmt.Sprint("r", i)), "k"); got != "w" {
				t.Fatalf("r%d: %q", i, got)
			}
		}
		if rep := b.SyncStats().LastPull; rep.Rounds > 3 {
			t.Errorf("%d round trips", rep.Rounds)
		}
	})
}

func TestWatchTellsLocalAndRemote(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan WatchEvent, 10)
		go func() {
			for ev, err := range rb.Watch(ctx, "k") {
				if err != nil {
					t.Error(err)
				}
				got <- ev
			}
			close(got)
		}()
		synctest.Wait()
		set(t, ra, "other", "x")
		set(t, ra, "k1", "x")
		time.Sleep(10 * time.Millisecond) // beyond the window that the write before began
		set(t, rb, "k2", "x")
		if ev := <-got; ev != (WatchEvent{Key: "k1", Kind: crdt.KindString, As: ev.As}) {
			t.Errorf("got %+v", ev)
		}
		if ev := <-got; ev != (WatchEvent{Key: "k2", Kind: crdt.KindString, Local: true, As: ev.As}) {
			t.Errorf("got %+v", ev)
		}
		cancel()
		if _, ok := <-got; ok {
			t.Error("the watch goes on")
		}
	})
}
