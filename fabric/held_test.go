package fabric

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

var onDemand = RegionConfig{Placement: Placement{Kind: "demand"}}

// take has nodes take a copy of a region.
func take(t *testing.T, name string, nodes ...*Fabric) {
	t.Helper()
	for _, f := range nodes {
		if err := region(t, f, name).TakeCopy(t.Context()); err != nil {
			t.Fatal(f.Node(), err)
		}
	}
}

// TestWithoutACopyAllCallsSayWho: has one. What is about the region and not about its entries goes on.
func TestWithoutACopyAllCallsSayWho(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		set(t, create(t, a, "maps", onDemand), "k", "v")
		time.Sleep(10 * time.Second)
		take(t, "maps", b)
		r := region(t, b, "maps")
		token := region(t, a, "maps").Token()
		watched := make(chan error, 2)
		go func() {
			for _, err := range r.Watch(t.Context(), "") {
				if err != nil {
					watched <- err
				}
			}
		}()
		go func() {
			for _, err := range Follow(t.Context(), r, FollowConfig{}, func(*crdt.View, string) (int, int) { return 0, 0 }) {
				if err != nil {
					watched <- err
				}
			}
		}()
		synctest.Wait()
		r.giveUp()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, got := r.Get(nil, "k")
		_, waited := r.WaitFor(ctx, token, 1)
		_, acquired := r.Acquire(ctx)
		var fresh error
		for _, err := range r.Watch(ctx, "") {
			fresh = err
		}
		for name, err := range map[string]error{
			"view": r.View(func(*crdt.View) { t.Error("a view of nothing") }), "get": got, "at": r.At(ctx, token), "wait": waited, "acquire": acquired,
			"update": r.Update(ctx, func(*crdt.Tx) error { t.Error("a write to nothing"); return nil }), "watch": fresh,
			"running watch": <-watched, "running follower": <-watched,
		} {
			var e *NotHeldError
			if !errors.Is(err, ErrNotHeld) || !errors.As(err, &e) || e.Region != "maps" || !strings.Contains(err.Error(), "held by a") {
				t.Errorf("%s: %v", name, err)
			}
		}
		s, err := b.RegionStatus("maps")
		if err != nil || s.Held || s.Entries != 0 || s.Placement != "demand" || len(b.Regions()) != 2 {
			t.Errorf("status: %+v, %v", s, err)
		}
		if holders := fmt.Sprint(b.Holders("maps")); holders != "[{a a edge}]" || r.Held() || !region(t, b, DefaultRegion).Held() {
			t.Errorf("holders: %s", holders)
		}
	})
}

// TestWithoutACopyNothingIsTaken: neither pushes nor pulls bring back what was given up. Taken up again it is as it was, and writes go on in the
// same start.
func TestWithoutACopyNothingIsTaken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra := create(t, a, "maps", onDemand)
		set(t, ra, "k", "v")
		time.Sleep(10 * time.Second)
		take(t, "maps", b)
		rb := region(t, b, "maps")
		set(t, rb, "mine", "1")
		time.Sleep(10 * time.Second)
		rb.giveUp()
		set(t, ra, "more", "2")
		m.Cut("a", "b")
		m.Heal("a", "b")
		time.Sleep(2 * time.Minute)
		if n := rb.status(); n.Entries != 0 || len(n.Context) != 0 {
			t.Errorf("%d entries came, of %v", n.Entries, n.Context)
		}
		rb.takeUp()
		time.Sleep(2 * time.Minute)
		sameState(t, ra, rb)
		set(t, rb, "mine", "2")
		time.Sleep(10 * time.Second)
		sameState(t, ra, rb)
		if got := get(t, ra, "mine"); got != "2" {
			t.Errorf("after the copy came back: %q", got)
		}
		if x := append(a.Alarms(), b.Alarms()...); len(x) > 0 {
			t.Errorf("alarms: %+v", x)
		}
	})
}

// TestGivenUpIsOffTheDisk: also what was written since the last commit; and a copy that follows is there whole.
func TestGivenUpIsOffTheDisk(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		r := create(t, f, "maps", onDemand)
		for i := range 50 {
			set(t, r, fmt.Sprint("k", i), "v")
		}
		time.Sleep(2 * time.Second)
		set(t, r, "late", "v")
		r.giveUp()
		if err := f.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := recordsOf(t, r); n != 0 {
			t.Errorf("%d records are left", n)
		}
		r.takeUp()
		set(t, r, "new", "v")
		r.giveUp()
		r.takeUp()
		set(t, r, "newer", "v")
		if err := f.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.Crash(); err != nil {
			t.Fatal(err)
		}
		if s := region(t, boot(t, d), "maps").status(); s.Entries != 1 {
			t.Errorf("%d entries after a restart, want the one of the last copy", s.Entries)
		}
	})
}

// recordsOf counts what the disk of the node that runs has of a region.
func recordsOf(t *testing.T, r *Region) (n int) {
	t.Helper()
	if err := r.f.cfg.Storage.Load(func(key, _ []byte) error {
		if id, _ := crdt.RecordRegion(key); id == r.id {
			n++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestUseIsCountedByConsumer: of a region that need not be everywhere, and of no other.
func TestUseIsCountedByConsumer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := node(t, NewMesh(1), "a")
		r := create(t, a, "maps", onDemand)
		for range 300 {
			r.noteUse("b", false, 100)
			r.noteUse("b", true, 10)
			r.noteUse("c", true, 10)
			region(t, a, DefaultRegion).noteUse("b", false, 1)
		}
		who := r.Consumers()
		if len(who) != 2 || who[0].ID != "b" || who[0].Reads <= 0 || who[1].Writes <= 0 || who[1].Reads != 0 {
			t.Errorf("%+v", who)
		}
		if who := region(t, a, DefaultRegion).Consumers(); len(who) != 0 {
			t.Errorf("of a region that is everywhere: %+v", who)
		}
	})
}
