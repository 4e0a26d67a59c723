package p2p

import (
	"io"
	"testing"
)

func TestJoinGossipAndStreams(t *testing.T) {
	for name, listen := range map[string][]string{"tcp": loopbackTCP, "quic": loopbackQUIC, "both": loopbackBoth} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca, cb := testConfig(t, "alpha"), testConfig(t, "beta")
			ca.Listen, cb.Listen, cb.Tier = listen, listen, "cloud"
			a := start(t, ca)
			b := a.joined(cb)

			if e := a.awaitPeer(b.Self(), true); e.name != "beta" || e.tier != "cloud" {
				t.Errorf("beta introduced itself as %q, %q", e.name, e.tier)
			}
			b.awaitPeer(a.Self(), true)
			if a.FabricID() != b.FabricID() {
				t.Errorf("fabrics %v and %v", a.FabricID(), b.FabricID())
			}
			a.mustReach("hello", b)
			b.mustReach("hello yourself", a)
			echo(t, a, b)
			echo(t, b, a)
		})
	}
}

// echo opens a stream from a to b, and has b send back what it reads.
func echo(t *testing.T, a, b *node) {
	t.Helper()
	s, err := a.OpenStream(within(t), b.Self())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := io.WriteString(s, "ping"); err != nil {
		t.Fatal(err)
	}
	if err := s.(Stream).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got := next(t, b.streams, "stream")
	if got.peer != a.Self() {
		t.Errorf("stream from %v, want %v", got.peer, a.Self())
	}
	if _, err := io.Copy(got.s, got.s); err != nil {
		t.Fatal(err)
	}
	got.s.Close()
	if back, err := io.ReadAll(s); err != nil || string(back) != "ping" {
		t.Errorf("echo gave %q, %v", back, err)
	}
}
