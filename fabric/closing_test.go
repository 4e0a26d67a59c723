package fabric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// clogged is a network whose Publish takes nothing until its context ends.
type clogged struct{ *MeshNode }

func (clogged) Publish(ctx context.Context, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCloseGetsPastACloggedNetwork(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		node(t, m, "b")
		f, err := Open(t.Context(), Config{Name: "a", Transport: clogged{m.Node("a")}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		set(t, region(t, f, "default"), "k", "v")
		synctest.Wait()
		start := time.Now()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 2*closeTimeout {
			t.Errorf("Close took %v", took)
		}
	})
}

func TestCloggedNetworkCostsBoundedMemory(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		node(t, m, "b")
		f, err := Open(t.Context(), Config{Name: "a", Transport: clogged{m.Node("a")}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		synctest.Wait()
		r := region(t, f, "default")
		val := string(make([]byte, 256<<10))
		for i := range 100 {
			set(t, r, fmt.Sprint(i), val)
		}
		r.mu.RLock()
		defer r.mu.RUnlock()
		if n := r.core.Outbound(); n > outboundMax+1<<20 {
			t.Errorf("%d bytes wait for the mesh, limit %d", n, outboundMax)
		}
	})
}

// A write that Apply accepted before, or while, the fabric closed is on disk; one that came later was refused.
func TestCloseKeepsWhatItAccepted(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		d := &storetest.Disk{}
		s, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(t.Context(), Config{Name: "n", Storage: s})
		if err != nil {
			t.Fatal(err)
		}
		r := region(t, f, "default")
		accepted := make([]int, 4)
		var wg sync.WaitGroup
		started := make(chan struct{}, len(accepted))
		for w := range accepted {
			wg.Go(func() {
				for ; ; accepted[w]++ {
					_, err := r.Apply(func(tx *crdt.Tx) error { tx.Set(fmt.Sprint(w, "/", accepted[w]), nil, false); return nil })
					if errors.Is(err, ErrClosed) {
						return
					}
					if accepted[w] == 10 {
						started <- struct{}{}
					}
				}
			})
		}
		for range accepted {
			<-started
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		want := 0
		for _, n := range accepted {
			want += n
		}
		g := boot(t, d)
		if got := region(t, g, "default").status().Entries; got != want {
			t.Fatalf("%d writes were accepted, %d are on disk", want, got)
		}
	}
}

func TestPanicInATransactionLeavesTheRegionUsable(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &storetest.Disk{}
		f := boot(t, d)
		r := region(t, f, "default")
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = r.Update(t.Context(), func(tx *crdt.Tx) error { tx.Set("k", []byte("v"), false); panic("a bug of the caller") })
		}()
		done := make(chan string, 1)
		go func() { done <- get(t, r, "k") }()
		synctest.Wait()
		select {
		case got := <-done:
			if got != "v" {
				t.Errorf("read %q", got)
			}
		default:
			r.mu.Unlock()
			t.Fatal("the region is locked for ever")
		}
		time.Sleep(2 * time.Second)
		if err := d.Crash(); err != nil {
			t.Fatal(err)
		}
		if got := get(t, region(t, boot(t, d), "default"), "k"); got != "v" {
			t.Errorf("what was written before the panic: %q after a crash", got)
		}
	})
}

// deaf is a transport that cannot serve.
type deaf struct{ *MeshNode }

var errDeaf = errors.New("deaf")

func (deaf) Serve(func(crdt.NodeID, string, string, bool), func(crdt.NodeID, []byte), func(crdt.NodeID, io.ReadWriteCloser)) error {
	return errDeaf
}

func TestFailedOpenLeavesNoMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	_, err := Open(t.Context(), Config{Name: "n", Registerer: reg, Transport: deaf{NewMesh(1).Node("n")}})
	if !errors.Is(err, errDeaf) {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), Config{Name: "n", Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := Open(t.Context(), Config{Name: "n", Registerer: reg}); err == nil {
		t.Fatal("two fabrics share one registry")
	}
	if got, err := reg.Gather(); err != nil || len(got) == 0 {
		t.Errorf("the failed Open took away the first one's metrics: %d, %v", len(got), err)
	}
}
