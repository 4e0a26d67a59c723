package fabric

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// said makes a stream's bytes of frames.
func said(t *testing.T, frames ...[]byte) []byte {
	t.Helper()
	var s script
	c := newConn(context.Background(), &s, limits{})
	for _, f := range frames {
		if err := c.send(f[0], f[1:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	return s.heard.Bytes()
}

// A peer that names regions, and shows nothing of them, makes no replicas.
func TestNamesAloneMakeNoReplicas(t *testing.T) {
	t.Parallel()
	tr := &taped{MeshNode: NewMesh(1).Node("a")}
	f := filled(t, tr)
	have := len(f.all())
	var frames [][]byte
	for i := range 1000 {
		frames = append(frames, append([]byte{frameName}, fmt.Sprint("ghost ", i)...), append([]byte{frameName}, fmt.Sprint("ghost", i)...))
	}
	for _, s := range [][]byte{said(t, append(frames, []byte{frameEnd, 0})...)} {
		tr.stream = &script{Reader: bytes.NewReader(s)}
		if _, err := f.mesh.pullFrom(t.Context(), newPeer("x", 0), newLink(), becauseConnected); err != nil {
			t.Fatal(err)
		}
	}
	// A push that waits for what came before it shows nothing either.
	r := crdt.NewRegion(crdt.Config{Name: "early", Self: crdt.NewOrigin("x", crdt.Nonce{1}), Push: true})
	for range 2 {
		_ = r.Update(1, func(tx *crdt.Tx) error { tx.Set("k", nil, false); return nil })
		for _, frame := range r.TakePush() {
			if r.Seen() == 2 {
				f.mesh.onGossip("x", frame)
			}
		}
	}
	f.mesh.onGossip("x", []byte("no push at all"))
	if n := len(f.all()); n != have {
		t.Errorf("%d replicas became %d", have, n)
	}
}

// Where there are too many regions, those that are here go on.
func TestTooManyRegionsHoldUpNoOthers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		b := nodeWith(t, m, "b", Config{Seed: 7, most: 5})
		fill(t, a, 100)
		synctest.Wait()
		m.SetLoss(1)
		for _, f := range []*Fabric{a, b} {
			set(t, region(t, f, "default"), f.cfg.Name, "v")
		}
		time.Sleep(10 * time.Second)
		sameState(t, region(t, a, "default"), region(t, b, "default"))
		if n := len(b.all()); n != 5 {
			t.Errorf("b has %d regions, and may have 5", n)
		}
	})
}
