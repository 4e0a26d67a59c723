package p2p

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
)

// B and C both joined through A; they hear of each other from A, connect, and stay connected when A is gone.
func TestMeshOfThreeWithoutItsFounder(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	c := a.joined(testConfig(t, "gamma"))
	connected(b, c)
	mustClose(t, a.Host)
	b.awaitPeer(a.Self(), false)
	c.awaitPeer(a.Self(), false)
	b.mustReach("without alpha", c)
	if got := b.Peers(); len(got) != 2 || !slices.IsSortedFunc(got, func(x, y PeerStatus) int { return strings.Compare(string(x.ID), string(y.ID)) }) {
		t.Errorf("beta knows %+v", got)
	}
}

// A rebooted node finds its peers from what it has on disk: the founder, through which both joined, is gone
// for good, and nothing announces anything.
func TestRestartFindsPeersOnDisk(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	cc := testConfig(t, "gamma")
	c := a.joined(cc)
	connected(b, c)
	mustClose(t, a.Host)
	mustClose(t, c.Host)
	b.awaitPeer(c.Self(), false)

	c = start(t, cc)
	c.awaitPeer(b.Self(), true)
	b.awaitPeer(c.Self(), true)
	c.mustReach("back", b)
}

// Losing the peerstore is not fatal: the damaged one is moved aside, and the issuer is in the membership.
func TestDamagedPeerstore(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	c := testConfig(t, "beta")
	b := a.joined(c)
	connected(a, b)
	mustClose(t, b.Host)
	a.awaitPeer(b.Self(), false)

	dir := filepath.Join(c.Dir, folderName, peersFolder)
	if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte("not a manifest"), privateFile); err != nil {
		t.Fatal(err)
	}
	b = start(t, c)
	connected(a, b)
	if _, err := os.Stat(dir + ".damaged"); err != nil {
		t.Errorf("the damaged peerstore was not kept: %v", err)
	}
}

func TestTwoHostsOnOneDirectory(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	open(t, c)
	openFails(t, c, ErrLocked, filepath.Join(c.Dir, folderName, peersFolder))
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	for name, listen := range map[string][]string{"tcp": loopbackTCP, "quic": loopbackQUIC} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t, "alpha")
			c.Listen = listen
			a := open(t, c)
			addr := a.net.ListenAddresses()[0].String()
			taken := testConfig(t, "beta")
			taken.Listen = []string{addr}
			openFails(t, taken, ErrListen, addr, "port is taken", "0 picks a free one")
		})
	}
}

func TestConfigNamesTheWrongField(t *testing.T) {
	t.Parallel()
	good := testConfig(t, "alpha")
	for field, change := range map[string]func(*Config){
		"Dir":          func(c *Config) { c.Dir = "" },
		"Name":         func(c *Config) { c.Name = "two words" },
		"Tier":         func(c *Config) { c.Tier = "moon" },
		"Listen":       func(c *Config) { c.Listen = []string{"127.0.0.1:7381"} },
		"Peers":        func(c *Config) { c.Peers = []string{"/ip4/10.0.0.1/tcp/7381"} },
		"PeersLow":     func(c *Config) { c.PeersLow, c.PeersHigh = 9, 3 },
		"PingInterval": func(c *Config) { c.PingInterval = time.Millisecond },
	} {
		c := good
		change(&c)
		openFails(t, c, ErrConfig, field)
	}
	for _, listen := range []string{"/ip4/127.0.0.1/udp/0", "/ip4/127.0.0.1/tcp/0/ws", "/dns4/example.com/tcp/1/p2p", ""} {
		c := good
		c.Listen = []string{listen}
		openFails(t, c, ErrConfig, "Listen")
	}
}

// Off line is complete and durable: the peer hears of it at once, nobody can connect either way, a restart
// changes nothing; on line again, the mesh is back.
func TestOffline(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	c := testConfig(t, "beta")
	b := a.joined(c)
	connected(a, b)

	if err := b.SetOffline(within(t), true); err != nil {
		t.Fatal(err)
	}
	a.awaitPeer(b.Self(), false)
	b.awaitPeer(a.Self(), false)
	if !b.Offline() || len(b.net.Conns()) != 0 {
		t.Errorf("offline %v with %d connections", b.Offline(), len(b.net.Conns()))
	}
	refused(t, a, b)
	refused(t, b, a)
	if err := b.Publish(t.Context(), []byte("nowhere")); err != nil {
		t.Errorf("publish off line: %v", err)
	}
	mustClose(t, b.Host)

	b = start(t, c)
	if !b.Offline() {
		t.Fatal("a restart put the node on line")
	}
	refused(t, a, b)
	if err := b.SetOffline(within(t), false); err != nil {
		t.Fatal(err)
	}
	connected(a, b)
	a.mustReach("welcome back", b)
}

// refused: from cannot connect to to.
func refused(t *testing.T, from, to *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waitUntil(t, "the old connection is closed", func() bool { return len(from.net.ConnsToPeer(to.id)) == 0 })
	from.book.AddAddrs(to.id, to.net.ListenAddresses(), peerstore.TempAddrTTL)
	from.net.Backoff().Clear(to.id)
	if _, err := from.net.DialPeer(ctx, to.id); err == nil {
		t.Errorf("%s connected to %s", from.Name(), to.Name())
	}
}

// Up and down of a peer alternate, whatever its connections do.
func TestSpansAlternate(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	for range 3 {
		a.spans.conn(b.id).Close()
		if e := next(t, a.peers, "down"); e.up || e.peer != b.Self() || e.name != "beta" {
			t.Fatalf("got %+v, want down", e)
		}
		if e := next(t, a.peers, "up"); !e.up || e.peer != b.Self() {
			t.Fatalf("got %+v, want up", e)
		}
	}
}

// A peer that connects again has lost the connection before: the new one takes its place, with a new span.
func TestNewConnectionTakesThePlaceOfTheOld(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	o := newOutsider(t)
	twin := newOutsiderWithKey(t, o.key)
	older := o.prove(o.dial(a), a)
	a.awaitPeer(nodeID(o.id), true)
	next(t, o.inbound, "gossip stream")

	newer := twin.prove(twin.dial(a), a)
	for _, up := range []bool{false, true} {
		if e := next(t, a.peers, "peer event"); e.up != up || e.peer != nodeID(o.id) {
			t.Fatalf("got %+v, want up %v", e, up)
		}
	}
	awaitClosed(t, older)
	next(t, twin.inbound, "gossip stream on the new connection")
	newer.Conn().Close()
	a.awaitPeer(nodeID(o.id), false)
}

// The end of one of gossip's two streams ends the connection: gossipsub does not recover from it by itself.
func TestGossipStreamsEndWithTheConnection(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	a.mustReach("one way", b)
	b.mustReach("and back", a)
	for _, s := range a.spans.conn(b.id).GetStreams() {
		if s.Protocol() == gossipProtocols[0] {
			s.Reset()
			break
		}
	}
	a.awaitPeer(b.Self(), false)
	connected(a, b)
	a.mustReach("one way", b)
	b.mustReach("and back", a)
}

// Two nodes that dial each other at the same moment end up with one connection and one span.
func TestSimultaneousDials(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	for _, off := range []bool{true, false} {
		var wg sync.WaitGroup
		for _, n := range []*node{a, b} {
			wg.Go(func() {
				if err := n.SetOffline(t.Context(), off); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	connected(a, b)
	waitUntil(t, "one connection is left", func() bool {
		return len(a.net.ConnsToPeer(b.id)) == 1 && len(b.net.ConnsToPeer(a.id)) == 1
	})
	a.mustReach("still here", b)
	b.mustReach("me too", a)
}

func TestOpenStreamToNobody(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	mustClose(t, b.Host)
	a.awaitPeer(b.Self(), false)
	if _, err := a.OpenStream(t.Context(), b.Self()); !errors.Is(err, ErrNotConnected) || !strings.Contains(err.Error(), "beta") {
		t.Errorf("error %v: want ErrNotConnected naming beta", err)
	}
	if _, err := a.OpenStream(t.Context(), crdt.NodeID("nonsense")); err == nil {
		t.Error("a stream to no peer id")
	}
}

// A peer may have so many sync streams open to us, and no more.
func TestSyncStreamsAreBounded(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	for range syncStreamsMax {
		s, err := a.OpenStream(t.Context(), b.Self())
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte("x"))
		next(t, b.streams, "stream")
	}
	s, err := a.OpenStream(t.Context(), b.Self())
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("x"))
	s.(Stream).SetDeadline(time.Now().Add(patience))
	// The agreement on the protocol comes back, then the reset.
	if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stream %d: %v, want a reset", syncStreamsMax+1, err)
	}
}

func TestFrameSizes(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	a.mustReach("ready", b)
	big := strings.Repeat("x", MaxFrameBytes)
	a.mustReach(big, b)
	a.mustReach("", b)
	if err := a.Publish(t.Context(), []byte(big+"x")); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
}

// The same frame published twice arrives twice, the publisher does not hear itself, and from is the
// neighbour.
func TestEveryPublishArrives(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	a.mustReach("ready", b)
	for range 2 {
		if err := a.Publish(t.Context(), []byte("again")); err != nil {
			t.Fatal(err)
		}
	}
	for got := 0; got < 2; {
		if e := next(t, b.gossip, "frame"); e.frame == "again" {
			got++
			if e.from != a.Self() {
				t.Errorf("from %v, want %v", e.from, a.Self())
			}
		}
	}
	if len(a.gossip) != 0 {
		t.Errorf("alpha heard itself: %+v", <-a.gossip)
	}
}

func TestServeIsOnceAndCloseIsIdempotent(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	if err := a.Serve(nil, nil, nil); !errors.Is(err, ErrServing) {
		t.Errorf("second Serve: %v", err)
	}
	began := time.Now()
	mustClose(t, a.Host)
	mustClose(t, a.Host)
	if took := time.Since(began); took > closeTimeout {
		t.Errorf("Close took %v", took)
	}
	if err := a.Serve(nil, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
	if err := a.Publish(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Publish after Close: %v", err)
	}
	if err := a.SetOffline(t.Context(), true); !errors.Is(err, ErrClosed) {
		t.Errorf("SetOffline after Close: %v", err)
	}
}

// Nobody can connect before Serve, so that no peer sees a node that does not answer yet.
func TestNobodyConnectsBeforeServe(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	c := testConfig(t, "beta")
	c.Ticket = a.invite(InviteOptions{})
	b := open(t, c)
	refused(t, a, b)
	b.serve()
	connected(a, b)
}

func TestStaticPeers(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	cb, cc := testConfig(t, "beta"), testConfig(t, "gamma")
	b := a.joined(cb)
	// gamma forgets everything but its membership, and has one static address: beta's.
	cc.Ticket = a.invite(InviteOptions{})
	mustClose(t, mustOpen(t, cc))
	mustClose(t, a.Host)
	if err := os.RemoveAll(filepath.Join(cc.Dir, folderName, peersFolder)); err != nil {
		t.Fatal(err)
	}
	cc.Peers = []string{b.Addrs()[0]}
	c := start(t, cc)
	c.awaitPeer(b.Self(), true)
	b.awaitPeer(c.Self(), true)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	a.mustReach("hello", b)
	p := a.Peers()
	if len(p) != 1 {
		t.Fatalf("peers %+v", p)
	}
	got := p[0]
	if got.ID != b.Self() || got.Name != "beta" || got.Tier != "edge" || !got.Connected || got.Direction != "in" || got.Transport != "tcp" {
		t.Errorf("status %+v", got)
	}
	if got.RTT <= 0 || got.RTT > patience || got.LastSeen.IsZero() || len(got.Addrs) == 0 {
		t.Errorf("status %+v", got)
	}
	for _, addr := range a.Addrs() {
		if _, err := peer.AddrInfoFromString(addr); err != nil {
			t.Errorf("address %q: %v", addr, err)
		}
	}
	bw := a.Bandwidth()
	if bw.TCP.Out <= bw.Streams.Out || bw.Streams.Out == 0 || bw.TCP.In == 0 || bw.QUIC != (Bytes{}) {
		t.Errorf("bandwidth %+v", bw)
	}
}

func TestPingMeasuresRTT(t *testing.T) {
	t.Parallel()
	ca := testConfig(t, "alpha")
	ca.PingInterval = time.Second
	a := start(t, ca)
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	l, _, _ := a.spans.current(b.id)
	l.control.rtt.Store(int64(time.Hour))
	waitUntil(t, "a ping corrects the round trip", func() bool { return l.control.rtt.Load() < int64(time.Hour) })
}
