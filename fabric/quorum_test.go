package fabric

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// TestQuorumWrites: they are elsewhere when they are acknowledged; the smaller side of a split acknowledges nothing, keeps what it
// writes, and merges it.
func TestQuorumWrites(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		ra := create(t, a, "orders", RegionConfig{Ack: AckQuorum})
		time.Sleep(10 * time.Second)
		rb, rc := region(t, b, "orders"), region(t, c, "orders")
		if rc.Ack() != AckQuorum {
			t.Fatalf("c waits for %s", rc.Ack())
		}
		begun := time.Now()
		set(t, ra, "k", "v")
		if get(t, rb, "k") != "v" && get(t, rc, "k") != "v" {
			t.Error("an acknowledged write is nowhere else")
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("a write took %v of virtual time", took)
		}
		m.Cut("a", "b")
		m.Cut("a", "c")
		time.Sleep(time.Second)
		begun = time.Now()
		err := RegisterOf[string](ra, "k").Set(t.Context(), "apart")
		if !errors.Is(err, ErrNotMerged) || !strings.Contains(err.Error(), "0 of 2 other holders") {
			t.Errorf("in the smaller part: %v", err)
		}
		if took := time.Since(begun); took != mergePatience {
			t.Errorf("gave up after %v", took)
		}
		set(t, rb, "other", "w") // two of three
		m.Heal("a", "b")
		m.Heal("a", "c")
		time.Sleep(10 * time.Minute)
		sameState(t, ra, rb, rc)
		if get(t, rb, "k") != "apart" {
			t.Error("what was not acknowledged did not merge")
		}
	})
}

// TestAllHolders: those that are retired are none; and who gives up early hears why.
func TestAllHolders(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		ra := create(t, a, "r", RegionConfig{Ack: AckAll})
		time.Sleep(10 * time.Second)
		set(t, ra, "k", "v")
		if get(t, region(t, b, "r"), "k") != "v" || get(t, region(t, c, "r"), "k") != "v" {
			t.Error("an acknowledged write is not everywhere")
		}
		m.Cut("a", "c")
		m.Cut("b", "c")
		time.Sleep(time.Second)
		commits := make([]Commit, 3) // of a pipeline: they give up together
		for i := range commits {
			var err error
			if commits[i], err = ra.Apply(func(tx *crdt.Tx) error { tx.Set("k", []byte("apart"), false); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		for _, commit := range commits {
			if err := commit.Wait(t.Context()); !errors.Is(err, ErrNotMerged) {
				t.Errorf("without c: %v", err)
			}
		}
		if took := time.Since(begun); took > mergePatience {
			t.Errorf("three writes gave up after %v", took)
		}
		hurried, cancel := context.WithCancel(t.Context())
		cancel()
		if err := RegisterOf[string](ra, "k").Set(hurried, "apart"); !errors.Is(err, ErrNotMerged) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := a.RetireNode(t.Context(), "c", true); err != nil {
			t.Fatal(err)
		}
		set(t, ra, "k", "without c")
	})
}

// TestNobodyElse: alone, quorum and all are disk.
func TestNobodyElse(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := node(t, NewMesh(1), "a")
		for _, ack := range []Ack{AckQuorum, AckAll} {
			set(t, create(t, a, "r", RegionConfig{Ack: ack}), "k", string(ack))
		}
		create(t, a, "r", RegionConfig{Ack: AckMemory})
		if ack := region(t, a, "r").Ack(); ack != AckMemory {
			t.Errorf("put back: %s", ack)
		}
	})
}
