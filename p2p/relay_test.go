package p2p

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
)

// deaf closes a node's own listeners, as a translator does that lets nobody in. Circuits still reach it.
func (n *node) deaf() *node {
	n.net.ListenClose(n.net.ListenAddresses()...)
	n.followNetwork()
	return n
}

func relayConfig(t *testing.T, name string) Config {
	c := testConfig(t, name)
	c.Tier = "regional"
	return c
}

// behindRelay starts a relay and two nodes that nobody can dial.
func behindRelay(t *testing.T, c Config) (r, a, b *node) {
	t.Helper()
	r = start(t, c)
	ca, cb := testConfig(t, "alpha"), testConfig(t, "beta")
	ca.Ticket, cb.Ticket = r.invite(InviteOptions{}), r.invite(InviteOptions{})
	a, b = open(t, ca), open(t, cb)
	for _, n := range []*node{a, b} {
		n.net.ListenClose(n.net.ListenAddresses()...)
		n.refreshContact()
		n.serve()
	}
	return r, a, b
}

func (n *node) statusOf(id peer.ID) PeerStatus {
	m, _ := n.members.get(id)
	return n.peerStatus(id, m)
}

// Two nodes that nobody can dial find each other through a relay, by their signed addresses, and everything works
// over the circuit: the proof, sync streams, frames.
func TestCircuit(t *testing.T) {
	t.Parallel()
	r, a, b := behindRelay(t, relayConfig(t, "relay"))
	connected(a, b)
	one, two := a.statusOf(b.id), b.statusOf(a.id)
	for _, s := range []PeerStatus{one, two} {
		if s.Relay != r.Self() || !s.Limited || s.Transport != "relay" {
			t.Errorf("status %+v, want a limited connection through %s", s, r.Self())
		}
	}
	if want := circuitAddr(r.id).String(); !slices.Contains(one.Addrs, want) {
		t.Errorf("addresses %v, want %s among them", one.Addrs, want)
	}
	s, err := a.OpenStream(within(t), b.Self())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	io.WriteString(s, "hello")
	s.(Stream).CloseWrite()
	e := next(t, b.streams, "stream")
	got, err := io.ReadAll(e.s)
	if err != nil || string(got) != "hello" || e.peer != a.Self() {
		t.Errorf("%q from %s: %v", got, e.peer, err)
	}
	a.mustReach("over the circuit", b)
	if n := r.metrics.relay.reservations.Load(); n != 2 {
		t.Errorf("%d reservations, want 2", n)
	}
}

// A circuit is no reason to stay on it: when a direct way opens, the next connection takes its place.
func TestDirectReplacesCircuit(t *testing.T) {
	t.Parallel()
	_, a, b := behindRelay(t, relayConfig(t, "relay"))
	connected(a, b)
	if err := b.net.listen([]ma.Multiaddr{mustAddr(t, loopbackTCP[0])}, false); err != nil {
		t.Fatal(err)
	}
	ctx := network.WithForceDirectDial(within(t), "test")
	if err := a.services.Connect(ctx, b.addrInfo()); err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for _, x := range []struct{ at, to *node }{{a, b}, {b, a}} {
		for s := x.at.statusOf(x.to.id); !s.Connected || s.Relay != "" || s.Limited; s = x.at.statusOf(x.to.id) {
			select {
			case <-look.C:
			case <-ctx.Done():
				t.Fatalf("still through the relay: %+v", s)
			}
		}
	}
}

// A circuit that reached its limit is cut, and made again.
func TestCircuitLimit(t *testing.T) {
	t.Parallel()
	c := relayConfig(t, "relay")
	c.Relay.CircuitBytes = circuitBytesMin
	_, a, b := behindRelay(t, c)
	connected(a, b)
	s, err := a.OpenStream(within(t), b.Self())
	if err != nil {
		t.Fatal(err)
	}
	defer s.(Stream).Reset()
	go func() { io.Copy(io.Discard, next(t, b.streams, "stream").s) }()
	if n, err := s.Write(make([]byte, 2*circuitBytesMin)); err == nil {
		t.Errorf("%d bytes went through a circuit of %d", n, circuitBytesMin)
	}
	a.awaitPeer(b.Self(), false)
	a.awaitPeer(b.Self(), true)
}

// A relay that is full refuses; the node looks elsewhere, and has its circuit where there is room.
func TestFullRelay(t *testing.T) {
	t.Parallel()
	c := relayConfig(t, "full")
	c.Relay.Reservations = 1
	full := start(t, c)
	taker := full.joined(testConfig(t, "taker")).deaf()
	waitUntil(t, "the only reservation is taken", func() bool { return len(taker.reserve.addrs()) == 1 })
	spare := full.joined(relayConfig(t, "spare"))
	late := full.joined(testConfig(t, "late")).deaf()
	waitUntil(t, "a reservation at the other relay", func() bool {
		return slices.ContainsFunc(late.reserve.addrs(), circuitAddr(spare.id).Equal)
	})
	if slices.ContainsFunc(late.reserve.addrs(), circuitAddr(full.id).Equal) {
		t.Error("a full relay gave a reservation")
	}
	if full.metrics.relay.refused.Load() == 0 {
		t.Error("nothing was refused")
	}
}

// Neither edges nor devices relay unless told to.
func TestRelayIsForServers(t *testing.T) {
	t.Parallel()
	for tier, want := range map[string]bool{"device": false, "edge": false, "regional": true, "cloud": true} {
		c := Config{Dir: "x", Name: "n", Tier: tier}
		if err := c.validate(); err != nil || c.Relay.on() != want {
			t.Errorf("%s: relay %v, %v", tier, c.Relay.on(), err)
		}
	}
	c := Config{Dir: "x", Name: "n", Relay: Relay{Mode: "perhaps"}}
	if err := c.validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "Relay") {
		t.Errorf("mode perhaps: %v", err)
	}
}

// A stranger gets nothing from a relay: no reservation, no circuit, no stop, no hole; and it reaches nobody through
// it.
func TestStrangerCannotUseTheRelay(t *testing.T) {
	t.Parallel()
	r, a, b := behindRelay(t, relayConfig(t, "relay"))
	connected(a, b)
	raw := rawHost(t)
	for _, id := range []string{string(proto.ProtoIDv2Hop), string(proto.ProtoIDv2Stop), string(holepunch.Protocol)} {
		if err := raw.Connect(within(t), r.addrInfo()); err != nil {
			t.Fatal(err)
		}
		if got := tryStream(t, raw, r.id, protocol.ID(id)); got != nil {
			t.Errorf("%s: a stranger got %v, want a reset", id, got)
		}
		raw.Network().ClosePeer(r.id)
	}
	if _, err := client.Reserve(within(t), raw, r.addrInfo()); err == nil {
		t.Error("a stranger has a reservation")
	}
	ctx, cancel := context.WithTimeout(within(t), 5*time.Second)
	defer cancel()
	relayed := mustAddr(t, r.net.dialable()[0].String()+"/p2p/"+r.id.String()+"/p2p-circuit")
	if err := raw.Connect(ctx, peer.AddrInfo{ID: a.id, Addrs: []ma.Multiaddr{relayed}}); err == nil {
		t.Error("a stranger has a circuit to a member")
	}
	if s := a.statusOf(b.id); !s.Connected {
		t.Error("the stranger cost a member its connection")
	}
}

// Only the form that this package writes is taken for the address of a circuit.
func TestCircuitAddresses(t *testing.T) {
	t.Parallel()
	id := fixedID(t, 7)
	if got, ok := relayOf(circuitAddr(id)); !ok || got != id {
		t.Errorf("read back %v, %v", got, ok)
	}
	for _, text := range []string{
		"/p2p-circuit", "/ip4/10.0.0.1/tcp/1", "/p2p/" + id.String(),
		"/ip4/10.0.0.1/tcp/1/p2p/" + id.String() + "/p2p-circuit", "/p2p/" + id.String() + "/p2p-circuit/p2p/" + id.String(),
	} {
		if _, ok := relayOf(mustAddr(t, text)); ok {
			t.Errorf("%s passes for the address of a circuit", text)
		}
	}
}
