package fabric

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// A write that comes while a check is under way is not known to the peer.
func TestLagCountsWritesDuringACheck(t *testing.T) {
	for _, mid := range []bool{false, true} {
		lagDuringACheck(t, mid)
	}
}

func lagDuringACheck(t *testing.T, mid bool) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		ra, rb := region(t, a, "default"), region(t, b, "default")
		set(t, ra, "k", "v")
		set(t, rb, "l", "w")
		synctest.Wait()
		p := a.mesh.peer("b")
		ours, step := a.mesh.prints.snapshot(p)
		defer p.drop(step)
		if theirs, _ := b.mesh.prints.snapshot(nil); ours.all != theirs.all {
			t.Fatal("the nodes are not in step")
		}
		m.SetLoss(1)
		set(t, ra, "late", "x")
		if mid {
			a.mesh.prints.snapshot(nil) // another peer asks
		}
		p.learnStep(step, everyBucket)
		if lag := ra.status().Lag["b"]; lag.Writes != 1 {
			t.Errorf("b lacks 1 write, and its lag is %+v", lag)
		}
	})
}

// What a peer has of a region in part is not what it has.
func TestLagKnowsUnfinishedPulls(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		synctest.Wait()
		m.Cut("a", "b")
		synctest.Wait()
		ra, rb := region(t, a, "default"), region(t, b, "default")
		for i := range 64 {
			set(t, ra, string(rune('A'+i)), string(make([]byte, 1000)))
		}
		// b got the first part of what a has, and the session broke off.
		pull, rc := ra.core.NewPull(&crdt.Seen{Region: ra.id}), rb.core.NewEmptyReceiver()
		if err := rc.Merge(pull.Next(4000), b.now()); err != nil {
			t.Fatal(err)
		}
		if rc.Done() {
			t.Fatal("the region went in one chunk")
		}
		// Now a pulls from b, and that session breaks off after the first chunk too.
		p := a.mesh.peer("b")
		x := &puller{m: a.mesh, p: p, self: a.Origin(), c: newConn(context.Background(), &script{}, limits{}), open: map[crdt.RegionID]*crdt.Receiver{}, named: map[crdt.RegionID]*Region{}, lives: map[crdt.RegionID]uint32{}}
		if err := x.hello(ra, true); err != nil {
			t.Fatal(err)
		}
		set(t, rb, "of b", "x")
		seen, err := crdt.DecodeHello(ra.core.Hello())
		if err != nil {
			t.Fatal(err)
		}
		if err := x.chunk(rb.core.NewPull(seen).Next(1)); err != nil {
			t.Fatal(err)
		}
		if lag := ra.status().Lag["b"]; lag.Writes < 40 {
			t.Errorf("b has a part of what a wrote, and its lag is %+v", lag)
		}
	})
}
