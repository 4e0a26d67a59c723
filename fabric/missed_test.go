package fabric

import (
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// confessing is a network that tells what it did not deliver.
type confessing struct {
	*MeshNode
	missed func(crdt.NodeID)
}

func (c *confessing) OnMissed(missed func(crdt.NodeID)) { c.missed = missed }

// A push that is known to be lost is pulled at once, and not when somebody asks.
func TestMissedPushesArePulledAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		tr := &confessing{MeshNode: m.Node("b")}
		b, err := Open(t.Context(), Config{Name: "b", Transport: tr, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		time.Sleep(10 * time.Second)
		m.SetLoss(1)
		set(t, region(t, a, "default"), "k", "v")
		tr.missed("a")
		tr.missed("somebody else")
		time.Sleep(behindDelay + 10*time.Millisecond) // less than changedDelay
		if got := get(t, region(t, b, "default"), "k"); got != "v" {
			t.Errorf("b reads %q", got)
		}
		if n := b.SyncStats().PushesMissed; n != 2 {
			t.Errorf("%d were missed", n)
		}
	})
}
