package fabric

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

func TestCompleteUpToTheLastHello(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		set(t, rb, "k", "v")
		time.Sleep(5 * time.Second)
		before := time.Now()
		c := ra.status().Complete
		if !slices.Equal(c.Of, []crdt.NodeID{"b"}) || len(c.Dark) > 0 || before.Sub(c.UpTo) > 5*time.Second {
			t.Errorf("in step: %+v at %v", c, before)
		}
		m.Cut("a", "b")
		set(t, rb, "l", "w")
		time.Sleep(DarkAfter / 2)
		if c := ra.status().Complete; !slices.Equal(c.Of, []crdt.NodeID{"b"}) || c.UpTo.After(before) {
			t.Errorf("parted for a while: %+v", c)
		}
		time.Sleep(DarkAfter)
		if c := ra.status().Complete; len(c.Of) > 0 || !slices.Equal(c.Dark, []crdt.NodeID{"b"}) || !c.UpTo.IsZero() {
			t.Errorf("parted for long: %+v", c)
		}
		if _, err := a.RetireNode(t.Context(), "b", false); err != nil {
			t.Fatal(err)
		}
		if c := ra.status().Complete; len(c.Of)+len(c.Dark) > 0 || c.UpTo.IsZero() {
			t.Errorf("alone: %+v", c)
		}
	})
}

// What a peer is known to have more takes nothing back of what was complete before.
func TestCompleteBeforeWhatIsMissing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		set(t, rb, "k", "v")
		time.Sleep(5 * time.Second)
		was := ra.status().Complete.UpTo
		m.Cut("a", "b")
		time.Sleep(time.Minute)
		ahead := rb.core.Context()
		ahead.Add(crdt.Dot{Origin: b.Origin(), Seq: 2})
		a.mesh.peer("b").learnAhead(ra.id, ahead, time.Now())
		s := ra.status()
		if !s.Complete.UpTo.Equal(was) || s.Lag["b"].Missing != 1 {
			t.Errorf("complete up to %v, was %v; lag %+v", s.Complete.UpTo, was, s.Lag["b"])
		}
		set(t, rb, "l", "w")
		m.Heal("a", "b")
		time.Sleep(2 * time.Second)
		if c := ra.status().Complete; !c.UpTo.After(was) {
			t.Errorf("complete up to %v after the link was back", c.UpTo)
		}
	})
}

func TestLagHasAnAgeAndASize(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra := region(t, a, "default")
		for i := range 10 {
			set(t, ra, fmt.Sprint("k", i), string(make([]byte, 98)))
		}
		time.Sleep(10 * time.Second)
		if lag := ra.status().Lag["b"]; lag.Writes != 0 || lag.BehindMS != 0 || lag.Bytes != 0 {
			t.Errorf("in step: %+v", lag)
		}
		m.Cut("a", "b")
		time.Sleep(time.Hour)
		set(t, ra, "k0", string(make([]byte, 98)))
		time.Sleep(7 * time.Second)
		set(t, ra, "k1", string(make([]byte, 98)))
		if lag := ra.status().Lag["b"]; lag.Writes != 2 || lag.BehindMS != 7000 || lag.Bytes != 200 {
			t.Errorf("two writes, the first 7 s ago: %+v", lag)
		}
		n := a.Nodes()[1]
		if n.ID != "b" || n.Lag == nil || n.Lag.Writes != 2 || n.Lag.Regions != 1 || n.Lag.BehindMS != 7000 || !n.Dark {
			t.Errorf("b: %+v, lag %+v", n, n.Lag)
		}
		if me := b.Nodes()[0]; !me.Self || me.Dark || me.Origin != "" {
			t.Errorf("b of itself: %+v", me)
		}
	})
}

// Origins of earlier starts are summed up, and those that write are named.
func TestWritersAndEndedOrigins(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		d := &drive{}
		b := node(t, m, "b")
		rb := region(t, b, "default")
		for i := range 3 {
			a := stored(t, m, "a", d)
			set(t, region(t, a, "default"), "k", fmt.Sprint(i))
			time.Sleep(2 * time.Second)
			s := rb.status()
			if len(s.Writers) != 1 || s.Writers[0].Node != "a" || s.Writers[0].Writes != 1 {
				t.Errorf("start %d: writers %+v", i, s.Writers)
			}
			if s.Ended.Origins != i || s.Ended.Writes != uint64(i) {
				t.Errorf("start %d: ended %+v", i, s.Ended)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A member behind a hub is alive as long as its writes come through.
func TestMembersBehindAHub(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		m.Cut("a", "far")
		a, hub, far := node(t, m, "a"), node(t, m, "hub"), node(t, m, "far")
		for i := range 30 {
			set(t, region(t, far, "default"), "k", fmt.Sprint(i))
			time.Sleep(time.Minute)
		}
		set(t, region(t, hub, "default"), "l", "v")
		time.Sleep(2 * time.Second)
		c := region(t, a, "default").status().Complete
		if !slices.Equal(c.Of, []crdt.NodeID{"hub"}) || !slices.Equal(c.Through, []crdt.NodeID{"far"}) || len(c.Dark) > 0 {
			t.Errorf("while it writes: %+v", c)
		}
		time.Sleep(DarkAfter + time.Minute)
		if c := region(t, a, "default").status().Complete; !slices.Equal(c.Dark, []crdt.NodeID{"far"}) {
			t.Errorf("when it is quiet: %+v", c)
		}
	})
}

func TestSpansJoinTheOldest(t *testing.T) {
	var s spans
	for i := range 100 {
		s.note(int64(i) * 10_000)
	}
	if len(s) != spansMax {
		t.Fatalf("%d stretches", len(s))
	}
	for i := range 99 {
		at := time.UnixMilli(int64(i)*10_000 + 5000)
		first := at.Add(5 * time.Second)
		got, ok := s.since(at)
		if !ok || got.After(first) || got.Before(at) {
			t.Errorf("since %v: %v, %v; the first change was at %v", at, got, ok, first)
		}
		if i >= 95 && !got.Equal(first) {
			t.Errorf("since %v: %v, want %v, which is recent", at, got, first)
		}
	}
	if _, ok := s.since(time.UnixMilli(990_000)); ok {
		t.Error("a change after the last one")
	}
}
