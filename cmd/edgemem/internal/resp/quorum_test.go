package resp

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/test/bubble"
)

// Writes to a quorum region are answered when another holder has them, and -NOREPLICAS when none is reached in time; a pipeline of them
// gives up as one.
func TestQuorumWritesWaitForAHolder(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := fabric.NewMesh(1)
		a, b := inMesh(t, m, "a"), inMesh(t, m, "b")
		if _, err := a.CreateRegion(t.Context(), "orders", fabric.RegionConfig{Ack: fabric.AckQuorum}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		l := newPipeListener()
		s, err := New(Config{Listener: l, Fabric: a, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		conn := l.dial()
		got := collect(conn)
		write(t, conn, "SELECT orders\r\nSET k v\r\n")
		time.Sleep(time.Second)
		if got.String() != "+OK\r\n+OK\r\n" {
			t.Errorf("connected: %q", got.String())
		}
		r, err := b.Region("orders")
		if err != nil {
			t.Fatal(err)
		}
		if v, ok, err := r.Get(nil, "k"); string(v) != "v" || !ok || err != nil {
			t.Errorf("elsewhere: %q %v", v, err)
		}
		m.Cut("a", "b")
		time.Sleep(time.Second)
		write(t, conn, "SET k w\r\nGET k\r\nINCR n\r\nMULTI\r\nSET m 1\r\nEXEC\r\n")
		time.Sleep(9 * time.Second)
		if got.String() != "+OK\r\n+OK\r\n" {
			t.Errorf("before it gives up: %q", got.String())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		lines := strings.Split(strings.TrimSuffix(got.String(), "\r\n"), "\r\n")[2:]
		if len(lines) < 4 || !strings.HasPrefix(lines[0], "-NOREPLICAS ") || lines[2] != "w" || !strings.HasPrefix(lines[3], "-NOREPLICAS ") || !strings.HasPrefix(lines[len(lines)-1], "-NOREPLICAS ") {
			t.Errorf("cut off: %q", lines)
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
