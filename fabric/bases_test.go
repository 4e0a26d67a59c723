package fabric

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// crowd delivers one write of each of n writers to a node, as if a neighbour had handed them over.
func crowd(t *testing.T, f *Fabric, n, round int) {
	t.Helper()
	for i := range n {
		w := crdt.NewRegion(crdt.Config{Name: "default", Self: crdt.NewOrigin(crdt.NodeID(fmt.Sprint("w", i)), crdt.Nonce{byte(round)}), Push: true})
		err := w.Update(f.now(), func(tx *crdt.Tx) error {
			tx.Set(fmt.Sprint("k", i), []byte{byte(round)}, false)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, frame := range w.TakePush() {
			f.mesh.onGossip("b", frame)
		}
	}
}

// TestHelloTellsChanges: with 200 writers in a region, a second hello is short; a peer that forgot gets it in full.
func TestHelloTellsChanges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		synctest.Wait()
		crowd(t, a, 200, 1)
		time.Sleep(5 * time.Second)
		round := 1
		pull := func() uint64 { // what b says when it asks a
			round++
			crowd(t, a, 1, round)
			if news, err := b.mesh.pullFrom(t.Context(), b.mesh.peer("a"), newLink(), becauseConnected); !news || err != nil {
				t.Fatal(news, err)
			}
			return b.mesh.lastPull.Load().BytesOut
		}
		pull()
		if n := pull(); n > 400 {
			t.Errorf("a hello of a region with 200 writers, of which two changed, took %d bytes", n)
		}
		a.mesh.peer("b").heardOf = nil
		if n := pull(); n < 200*16 {
			t.Errorf("a peer that forgot got a hello of %d bytes", n)
		}
		if x, y := region(t, a, "default").core.ContextHash(), region(t, b, "default").core.ContextHash(); x != y {
			t.Error("the nodes are not in step")
		}
	})
}
