package fabric

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// TestNodesCompareWhatBothHold: where one of three has no copy all are in step, nothing of the region goes to it, and nothing of it is known to be
// there.
func TestNodesCompareWhatBothHold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		ra := create(t, a, "maps", onDemand)
		set(t, ra, "k", "v")
		time.Sleep(time.Minute)
		take(t, "maps", b, c)
		region(t, b, "maps").giveUp()
		time.Sleep(time.Minute)
		before, pulls := b.SyncStats(), a.SyncStats().Pulls
		for i := range 20 {
			set(t, ra, fmt.Sprint("k", i), "v")
			time.Sleep(time.Minute)
		}
		del(t, ra, "k")
		time.Sleep(time.Minute)
		if after := b.SyncStats(); after.PullChunks != before.PullChunks || after.Pulls-before.Pulls < 5 || after.PullBytes-before.PullBytes > 64*(after.Pulls-before.Pulls) {
			t.Errorf("%d pulls of b brought %d chunks, %d bytes", after.Pulls-before.Pulls, after.PullChunks-before.PullChunks, after.PullBytes-before.PullBytes)
		}
		if a.SyncStats().Pulls == pulls {
			t.Error("a made no pulls")
		}
		sameState(t, ra, region(t, c, "maps"))
		s := ra.status()
		if _, ok := s.Lag["b"]; ok || len(s.Lag) != 1 || fmt.Sprint(s.Complete.Of) != "[c]" || s.Complete.UpTo.Before(time.Now().Add(-10*time.Minute)) {
			t.Errorf("lag %v, complete %+v", s.Lag, s.Complete)
		}
		if n := ra.holders(ra.Token()); n != 1 {
			t.Errorf("%d others are known to have it, want c alone", n)
		}
		for _, f := range []*Fabric{a, b, c} {
			if got := holderNames(t, f, "maps"); got != "a/edge c/edge" {
				t.Errorf("%s: holders %s", f.Node(), got)
			}
		}
		m.Cut("a", "c")
		del(t, ra, "k1")
		time.Sleep(time.Minute)
		if n := ra.status().Ghosts; n != 1 {
			t.Errorf("%d ghosts while c, which holds it, has not seen the remove", n)
		}
		m.Heal("a", "c")
		m.Cut("a", "b")
		m.Cut("b", "c")
		time.Sleep(time.Minute)
		if n := ra.status().Ghosts; n != 0 {
			t.Errorf("%d ghosts are kept for b, which has no copy", n)
		}
	})
}

// TestWhatIsNotHeldStaysSo: over a restart; and comes back when the region is to be everywhere.
func TestWhatIsNotHeldStaysSo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m, d := NewMesh(1), &storetest.Disk{}
		a := node(t, m, "a")
		ra := create(t, a, "maps", onDemand)
		for i := range 100 {
			set(t, ra, fmt.Sprint("k", i), "v")
		}
		start := func() *Fabric {
			s, err := d.Open()
			if err != nil {
				t.Fatal(err)
			}
			return nodeWith(t, m, "b", Config{Tier: "edge", Storage: s, Seed: 9})
		}
		b := start()
		time.Sleep(time.Minute)
		take(t, "maps", b)
		sameState(t, ra, region(t, b, "maps"))
		region(t, b, "maps").giveUp()
		time.Sleep(time.Minute)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = start()
		rb := region(t, b, "maps")
		time.Sleep(time.Minute)
		if n := rb.status().Entries; rb.Held() || n != 0 || recordsOf(t, rb) != 0 {
			t.Errorf("after a restart: held %v, %d entries", rb.Held(), n)
		}
		if err := rb.View(func(*crdt.View) {}); !errors.Is(err, ErrNotHeld) {
			t.Error(err)
		}
		create(t, a, "maps", RegionConfig{Placement: Placement{Kind: "everywhere"}})
		time.Sleep(time.Minute)
		if !rb.Held() {
			t.Fatal("not held, although it is everywhere")
		}
		sameState(t, ra, rb)
		if n := ra.holders(ra.Token()); n != 1 {
			t.Errorf("%d others are known to have it", n)
		}
		create(t, a, "maps", onDemand)
		time.Sleep(time.Minute)
		if got := holderNames(t, a, "maps"); got != "a/edge b/edge" {
			t.Errorf("holders: %s", got)
		}
	})
}

// TestWhatWasKnownOfACopyGoesWithIt: a node that had all, gave it up and takes it up again is not known to have all before it has.
func TestWhatWasKnownOfACopyGoesWithIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra := create(t, a, "maps", onDemand)
		set(t, ra, "k", "v")
		time.Sleep(time.Minute)
		take(t, "maps", b)
		time.Sleep(time.Minute)
		if n := ra.holders(ra.Token()); n != 1 {
			t.Fatalf("%d others are known to have it", n)
		}
		rb := region(t, b, "maps")
		create(t, a, "maps", RegionConfig{Placement: Placement{Kind: "everywhere"}})
		time.Sleep(time.Minute)
		create(t, a, "maps", onDemand)
		rb.giveUp()
		time.Sleep(time.Minute)
		create(t, a, "maps", RegionConfig{Placement: Placement{Kind: "everywhere"}})
		if n := ra.holders(ra.Token()); n != 0 {
			t.Errorf("%d others are known to have what b gave up", n)
		}
		time.Sleep(time.Minute)
		if n := ra.holders(ra.Token()); n != 1 || !rb.Held() {
			t.Errorf("%d others are known to have it in the end", n)
		}
	})
}
