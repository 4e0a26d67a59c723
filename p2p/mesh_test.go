package p2p

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// patience is how long a test waits for what must come. It is long because the machine may be busy; no test
// waits for it in full unless it fails.
const patience = 30 * time.Second

// Both transports on loopback, free ports.
var (
	loopbackTCP  = []string{"/ip4/127.0.0.1/tcp/0"}
	loopbackQUIC = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	loopbackBoth = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
)

type peerEvent struct {
	peer crdt.NodeID
	name string
	tier string
	up   bool
}

type gossipEvent struct {
	from  crdt.NodeID
	frame string
}

type streamEvent struct {
	peer crdt.NodeID
	s    io.ReadWriteCloser
}

// node is a host under test with its callbacks in channels.
type node struct {
	*Host
	t       *testing.T
	peers   chan peerEvent
	gossip  chan gossipEvent
	streams chan streamEvent
}

// testConfig is a node on loopback over TCP, in a directory of its own.
func testConfig(t *testing.T, name string) Config {
	t.Helper()
	return Config{Dir: t.TempDir(), Name: name, Tier: "edge", Listen: loopbackTCP, Logger: testLogger(t)}
}

func testLogger(t *testing.T) *slog.Logger {
	if !testing.Verbose() {
		return nil
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, c Config) *node {
	t.Helper()
	h, err := Open(within(t), c)
	if err != nil {
		t.Fatalf("open %s: %v", c.Name, err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close %s: %v", c.Name, err)
		}
	})
	return &node{
		Host: h, t: t,
		// Large enough for any test: callbacks never block.
		peers: make(chan peerEvent, 1024), gossip: make(chan gossipEvent, 4096), streams: make(chan streamEvent, 256),
	}
}

func (n *node) serve() *node {
	n.t.Helper()
	err := n.Serve(
		func(p crdt.NodeID, name, tier string, up bool) { n.peers <- peerEvent{p, name, tier, up} },
		func(from crdt.NodeID, frame []byte) { n.gossip <- gossipEvent{from, string(frame)} },
		func(p crdt.NodeID, s io.ReadWriteCloser) { n.streams <- streamEvent{p, s} },
	)
	if err != nil {
		n.t.Fatal(err)
	}
	return n
}

// start opens a node and lets it serve.
func start(t *testing.T, c Config) *node {
	t.Helper()
	return open(t, c).serve()
}

func (n *node) invite(o InviteOptions) string {
	n.t.Helper()
	ticket, err := n.Invite(o)
	if err != nil {
		n.t.Fatal(err)
	}
	return ticket
}

// joined starts a further node with a ticket of n.
func (n *node) joined(c Config) *node {
	n.t.Helper()
	c.Ticket = n.invite(InviteOptions{})
	return start(n.t, c)
}

// next receives from a channel, or fails the test.
func next[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-within(t).Done():
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// awaitPeer waits for one peer to come up or go down, past events of others.
func (n *node) awaitPeer(id crdt.NodeID, up bool) peerEvent {
	n.t.Helper()
	for {
		e := next(n.t, n.peers, "peer event at "+n.Name())
		if e.peer == id && e.up == up {
			return e
		}
	}
}

// connected waits until both nodes have reported each other.
func connected(a, b *node) {
	a.t.Helper()
	a.awaitPeer(b.Self(), true)
	b.awaitPeer(a.Self(), true)
}

// mustReach publishes a frame until to has it, past other frames: gossip may lose what is published before a new
// neighbour has said what it wants.
func (n *node) mustReach(frame string, to *node) {
	n.t.Helper()
	ctx := within(n.t)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	n.mustPublish(ctx, frame)
	for {
		select {
		case e := <-to.gossip:
			if e.frame == frame {
				return
			}
		case <-again.C:
			n.mustPublish(ctx, frame)
		case <-ctx.Done():
			n.t.Fatalf("frame %.80q of %s did not reach %s", frame, n.Name(), to.Name())
		}
	}
}

func (n *node) mustPublish(ctx context.Context, frame string) {
	n.t.Helper()
	if err := n.Publish(ctx, []byte(frame)); err != nil {
		n.t.Fatal(err)
	}
}
