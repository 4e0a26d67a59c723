package fabric

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// slow is a network in which one peer's streams give 64 bytes at a time, and wait between them.
type slow struct {
	*MeshNode
	peer crdt.NodeID
	gap  time.Duration
}

func (s slow) OpenStream(ctx context.Context, id crdt.NodeID) (io.ReadWriteCloser, error) {
	c, err := s.MeshNode.OpenStream(ctx, id)
	if err != nil || id != s.peer {
		return c, err
	}
	return &dribble{c.(patient), s.gap}, nil
}

type patient interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

type dribble struct {
	patient
	gap time.Duration
}

func (d *dribble) Read(b []byte) (int, error) {
	time.Sleep(d.gap)
	return d.patient.Read(b[:min(len(b), 64)])
}

// silent serves no pull: it takes streams and says nothing.
func silent(t *testing.T, m *Mesh, id crdt.NodeID) {
	t.Helper()
	n := m.Node(id)
	err := n.Serve(func(crdt.NodeID, string, string, bool) {}, func(crdt.NodeID, []byte) {},
		func(_ crdt.NodeID, s io.ReadWriteCloser) { go func() { _, _ = io.Copy(io.Discard, s) }() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
}

// A peer that stalls holds up pulls from others for stallTimeout at most, and writes not at all.
func TestStalledPeerHoldsUpNobody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		silent(t, m, "silent")
		a := node(t, m, "a")
		synctest.Wait() // a waits for the silent peer's answer
		start := time.Now()
		m.SetLoss(1) // pulls are all there is
		b := node(t, m, "b")
		set(t, region(t, b, "default"), "of b", "v")
		for i := range 100 {
			set(t, region(t, a, "default"), string(rune('a'+i)), "x")
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("writes took %v", d)
		}
		time.Sleep(stallTimeout + time.Second)
		if got := get(t, region(t, a, "default"), "of b"); got != "v" {
			t.Errorf("a read %q from b after %v", got, time.Since(start))
		}
	})
}

// A peer that goes on, but slowly, holds up pulls from others no longer than one that stalls.
func TestSlowPeerHoldsUpNobody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		c := node(t, m, "c")
		for i := range 50 {
			set(t, region(t, c, "default"), string(rune('A'+i)), string(make([]byte, 1000))) // 40 s in all
		}
		a, err := Open(t.Context(), Config{Name: "a", Transport: slow{m.Node("a"), "c", 50 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close() })
		synctest.Wait()
		m.SetLoss(1)
		start := time.Now()
		b := node(t, m, "b")
		m.Cut("b", "c")
		set(t, region(t, b, "default"), "of b", "v")
		time.Sleep(stallTimeout + 2*time.Second)
		if got := get(t, region(t, a, "default"), "of b"); got != "v" {
			t.Errorf("a read %q from b after %v", got, time.Since(start))
		}
		time.Sleep(5 * time.Minute)
		sameState(t, region(t, a, "default"), region(t, c, "default"))
	})
}

// Streams that were opened and say nothing yet take no place from those that ask.
func TestSilentAskersTakeNoPlace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		set(t, region(t, a, "default"), "k", "v")
		idle := m.Node("idle")
		if err := idle.Serve(func(crdt.NodeID, string, string, bool) {}, func(crdt.NodeID, []byte) {},
			func(_ crdt.NodeID, s io.ReadWriteCloser) { _ = s.Close() }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = idle.Close() })
		for range 2 * servingMax {
			if _, err := idle.OpenStream(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		b := node(t, m, "b")
		synctest.Wait()
		if got := get(t, region(t, b, "default"), "k"); got != "v" {
			t.Errorf("b read %q", got)
		}
	})
}

// A peer that comes and goes quickly is pulled from at once when it stays.
func TestFlappingPeerIsPulledFromAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		synctest.Wait()
		m.SetLoss(1)
		for i := range 300 {
			m.Cut("a", "b")
			if i%3 == 0 {
				set(t, region(t, a, "default"), "k", string(rune('0'+i)))
			}
			m.Heal("a", "b")
			if i%7 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		set(t, region(t, a, "default"), "last", "v")
		m.Cut("a", "b")
		m.Heal("a", "b")
		time.Sleep(500 * time.Millisecond)
		sameState(t, region(t, a, "default"), region(t, b, "default"))
	})
}
