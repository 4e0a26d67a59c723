package fabric

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

// After Close of a MeshNode nothing calls back, whatever the others do meanwhile: Fabric.Close relies on it.
func TestMeshCallsNobodyBackAfterClose(t *testing.T) {
	t.Parallel()
	for range 200 {
		m := NewMesh(1)
		a, b := m.Node("a"), m.Node("b")
		var closed atomic.Bool
		check := func() {
			if closed.Load() {
				t.Error("called back after Close")
			}
		}
		err := a.Serve(func(crdt.NodeID, string, string, bool) { check() }, func(crdt.NodeID, []byte) { check() },
			func(_ crdt.NodeID, s io.ReadWriteCloser) { check(); _ = s.Close() })
		if err == nil {
			err = b.Serve(func(crdt.NodeID, string, string, bool) {}, func(crdt.NodeID, []byte) {},
				func(_ crdt.NodeID, s io.ReadWriteCloser) { _ = s.Close() })
		}
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		start := make(chan struct{})
		for _, act := range []func(){
			func() { m.Cut("a", "b"); m.Heal("a", "b") },
			func() { _ = b.Publish(context.Background(), []byte("x")) },
			func() {
				if s, err := b.OpenStream(context.Background(), "a"); err == nil {
					_ = s.Close()
				}
			},
		} {
			wg.Go(func() {
				<-start
				for range 20 {
					act()
				}
			})
		}
		close(start)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		closed.Store(true)
		wg.Wait()
		_ = b.Close()
	}
}

// One seed loses the same frames in every run.
func TestMeshReplaysItsLosses(t *testing.T) {
	run := func() (out string) {
		bubble.Test(t, func(t *testing.T) {
			m := NewMesh(7)
			var mu sync.Mutex
			got := map[string]int{}
			var nodes []*MeshNode
			for i := range 6 {
				n := m.Node(crdt.NodeID(fmt.Sprint("n", i)))
				err := n.Serve(func(crdt.NodeID, string, string, bool) {}, func(_ crdt.NodeID, frame []byte) {
					mu.Lock()
					defer mu.Unlock()
					got[string(n.Self())+string(frame)]++
				}, func(_ crdt.NodeID, s io.ReadWriteCloser) { _ = s.Close() })
				if err != nil {
					t.Fatal(err)
				}
				nodes = append(nodes, n)
			}
			m.SetLoss(0.5)
			for i := range 20 {
				_ = nodes[0].Publish(t.Context(), []byte(fmt.Sprint("/", i)))
			}
			synctest.Wait()
			var b strings.Builder
			for _, n := range nodes {
				for i := range 20 {
					fmt.Fprint(&b, got[fmt.Sprint(n.Self(), "/", i)])
				}
				_ = n.Close()
			}
			out = b.String()
		})
		return out
	}
	if a, b := run(), run(); a != b {
		t.Errorf("two runs of one seed:\n%s\n%s", a, b)
	}
}

// A stream that both sides closed is forgotten.
func TestMeshForgetsClosedStreams(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		for i := range 20 {
			set(t, region(t, a, "default"), fmt.Sprint(i), "v")
			b.mesh.peer("a").ask(becauseConnected)
			synctest.Wait()
		}
		for _, n := range m.nodes {
			n.mu.Lock()
			if len(n.streams) > 0 {
				t.Errorf("%s still holds %d streams", n.id, len(n.streams))
			}
			n.mu.Unlock()
		}
	})
}
