package resp

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/test/bubble"
)

// Reads of a causal region that is loading answer -LOADING, as Redis does; writes go on.
func TestLoadingRegionRefusesReads(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := fabric.NewMesh(1)
		a := inMesh(t, m, "a")
		r, err := a.CreateRegion(t.Context(), "chat", fabric.RegionConfig{Consistency: fabric.Causal})
		if err != nil {
			t.Fatal(err)
		}
		noise := rand.New(rand.NewPCG(1, 2))
		err = r.Update(t.Context(), func(tx *crdt.Tx) error {
			for i := range 500 {
				val := make([]byte, 4000)
				for j := range val {
					val[j] = byte(noise.Uint32())
				}
				tx.Set(fmt.Sprint(i), val, false)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		m.SetRate(200 << 10)
		b := inMesh(t, m, "b")
		time.Sleep(5 * time.Second)
		l := newPipeListener()
		s, err := New(Config{Listener: l, Fabric: b, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		conn := l.dial()
		got := collect(conn)
		write(t, conn, "SELECT chat\r\nGET 1\r\nSET mine x\r\nEXISTS 1\r\n")
		synctest.Wait()
		lines := strings.Split(got.String(), "\r\n")
		if len(lines) != 5 || lines[0] != "+OK" || !strings.HasPrefix(lines[1], "-LOADING ") || lines[2] != "+OK" || !strings.HasPrefix(lines[3], "-LOADING ") {
			t.Errorf("while it loads: %q", lines)
		}
		time.Sleep(15 * time.Second)
		write(t, conn, "EXISTS 1 mine\r\n")
		synctest.Wait()
		if !strings.HasSuffix(got.String(), ":2\r\n") {
			t.Errorf("when it is there: %q", got.String())
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func inMesh(t *testing.T, m *fabric.Mesh, id crdt.NodeID) *fabric.Fabric {
	t.Helper()
	f, err := fabric.Open(t.Context(), fabric.Config{Name: string(id), Transport: m.Node(id), Seed: 1, MaxStaged: 100 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
