package p2p

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

// addrInfo is where a node listens, in libp2p's terms.
func (n *node) addrInfo() peer.AddrInfo {
	return peer.AddrInfo{ID: n.id, Addrs: n.net.dialable()}
}

// rawHost is a stock libp2p host: a stranger with all of libp2p's protocols.
func rawHost(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// Every protocol that a stranger may try is reset before its handler sees a byte, and the stranger is
// disconnected.
func TestStrangerIsResetAndDisconnected(t *testing.T) {
	for name, listen := range map[string][]string{"tcp": loopbackTCP, "quic": loopbackQUIC} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t, "alpha")
			c.Listen = listen
			a := start(t, c)
			for _, id := range []protocol.ID{
				pubsub.GossipSubID_v11, pubsub.GossipSubID_v12, pubsub.FloodSubID,
				syncProtocol, "/ipfs/kad/1.0.0", identify.ID, identify.IDPush, ping.ID, "/no/such/protocol",
			} {
				raw := rawHost(t)
				if err := raw.Connect(within(t), a.addrInfo()); err != nil {
					t.Fatal(err)
				}
				if got := tryStream(t, raw, a.id, id); got != nil {
					t.Errorf("%s: a stranger got %v, want a reset", id, got)
				}
				raw.Close()
			}
			if len(a.streams)+len(a.gossip)+len(a.peers) > 0 {
				t.Error("a stranger reached a callback")
			}
		})
	}
}

// tryStream opens a stream and writes to it. nil: the stream was reset or refused; else what went through.
func tryStream(t *testing.T, raw host.Host, to peer.ID, id protocol.ID) any {
	t.Helper()
	s, err := raw.Network().ConnsToPeer(to)[0].NewStream(within(t))
	if err != nil {
		return nil
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(patience))
	s.Write(protocolHeader(id))
	io.WriteString(s, "let me in")
	heard, err := io.ReadAll(s)
	if err == nil {
		return "a clean end of the stream"
	}
	if errors.Is(err, context.DeadlineExceeded) || len(heard) > 0 {
		return string(heard)
	}
	return nil
}

func TestSilentStrangerIsDisconnected(t *testing.T) {
	for name, listen := range map[string][]string{"tcp": loopbackTCP, "quic": loopbackQUIC} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t, "alpha")
			c.Listen, c.proofTimeout = listen, 200*time.Millisecond
			a := start(t, c)
			raw := rawHost(t)
			gone := make(chan struct{})
			raw.Network().Notify(&network.NotifyBundle{
				DisconnectedF: func(network.Network, network.Conn) { close(gone) },
			})
			if err := raw.Connect(within(t), a.addrInfo()); err != nil {
				t.Fatal(err)
			}
			next(t, gone, "disconnection")
			if p := a.Peers(); len(p) != 0 {
				t.Errorf("the stranger is listed: %v", p)
			}
		})
	}
}

// outsider is a bare swarm with a key of its own, for tests that speak the protocols by hand.
type outsider struct {
	*fabricNet
	t   *testing.T
	key ed25519.PrivateKey
	id  peer.ID
	// inbound has the protocol of every stream that the other side opened.
	inbound chan protocol.ID
}

func newOutsider(t *testing.T) *outsider {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newOutsiderWithKey(t, key)
}

func newOutsiderWithKey(t *testing.T, key ed25519.PrivateKey) *outsider {
	t.Helper()
	book, err := pstoremem.NewPeerstore()
	if err != nil {
		t.Fatal(err)
	}
	o := &outsider{t: t, key: key, inbound: make(chan protocol.ID, 64)}
	priv, err := libp2pKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if o.id, err = peer.IDFromPrivateKey(priv); err != nil {
		t.Fatal(err)
	}
	g := newGate()
	g.set(modeOpen)
	o.fabricNet, err = newNet(netParts{key: priv, id: o.id, book: book, gate: g, traffic: newTraffic(), peersHigh: 100})
	if err != nil {
		t.Fatal(err)
	}
	o.SetStreamHandler(o.note)
	t.Cleanup(func() {
		o.Close()
		book.Close()
	})
	return o
}

// note accepts whatever the other side asks for.
func (o *outsider) note(s network.Stream) {
	id, err := readProtocol(s)
	if err != nil {
		s.Reset()
		return
	}
	s.Write(protocolHeader(id))
	o.inbound <- id
}

func (o *outsider) dial(n *node) network.Conn {
	o.t.Helper()
	info := n.addrInfo()
	o.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	c, err := o.DialPeer(within(o.t), n.id)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

func (o *outsider) open(c network.Conn, id protocol.ID) network.Stream {
	o.t.Helper()
	s, err := openStream(within(o.t), c, id)
	if err != nil {
		o.t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(patience))
	return s
}

// prove runs the dialler's side of a proof with a good certificate, and returns the control stream.
func (o *outsider) prove(c network.Conn, to *node) network.Stream {
	o.t.Helper()
	s := o.open(c, memberProtocol)
	p := prover{
		fabric: to.fabric, now: time.Now, accept: func(hello) error { return nil },
		hello: encodeHello(o.certified(to.member.authority, time.Now()).marshal(), nil),
	}
	if _, err := p.dial(s, to.id); err != nil {
		o.t.Fatal(err)
	}
	return s
}

// certified is a certificate for the outsider from an authority.
func (o *outsider) certified(authority ed25519.PrivateKey, issued time.Time) *Certificate {
	o.t.Helper()
	cert, err := issueCertificate(authority, o.id, "outsider", "edge", issued)
	if err != nil {
		o.t.Fatal(err)
	}
	return cert
}

// A bad proof is answered with its reason and then disconnected; the node never counts as a peer.
func TestBadProofs(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	authority := a.member.authority
	_, foreign, _ := ed25519.GenerateKey(rand.Reader)
	now := time.Now()
	flipped := func(c *Certificate) []byte {
		b := c.marshal()
		b[len(b)-1] ^= 1
		return b
	}
	for name, test := range map[string]struct {
		hello func(o *outsider) []byte
		want  refusal
	}{
		"expired": {func(o *outsider) []byte {
			return encodeHello(o.certified(authority, now.Add(-certificateLifetime)).marshal(), nil)
		}, refusedExpired},
		"other fabric": {func(o *outsider) []byte { return encodeHello(o.certified(foreign, now).marshal(), nil) }, refusedForeign},
		"copied":       {func(o *outsider) []byte { return encodeHello(a.member.cert.marshal(), nil) }, refusedBorrowed},
		"forged":       {func(o *outsider) []byte { return encodeHello(flipped(o.certified(authority, now)), nil) }, refusedForged},
		"foreign addresses": {func(o *outsider) []byte {
			return encodeHello(o.certified(authority, now).marshal(), a.contact.envelope)
		}, refusedMalformed},
		"garbage": {func(o *outsider) []byte { return []byte("\x01garbage, and then some more of it") }, refusedMalformed},
		"empty":   {func(o *outsider) []byte { return nil }, refusedMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutsider(t)
			c := o.dial(a)
			s := o.open(c, memberProtocol)
			if err := writeFrame(s, frameHello, test.hello(o)); err != nil {
				t.Fatal(err)
			}
			kind, payload, err := readFrame(s, proofFrameMax)
			if err != nil || kind != frameRefusal || len(payload) != 1 || refusal(payload[0]) != test.want {
				t.Errorf("answer: frame %d %v, %v; want refusal %d", kind, payload, err, test.want)
			}
			awaitClosed(t, s)
			if a.spans.connected(o.id) {
				t.Error("the outsider counts as connected")
			}
		})
	}
}

// awaitClosed waits until the connection under s is over.
func awaitClosed(t *testing.T, s network.Stream) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.Copy(io.Discard, s); err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("still open after %v and %d bytes", patience, n)
	}
}

// A frame that claims to be huge, or never ends, costs the one who sends it the connection.
func TestProofIsBounded(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	c.proofTimeout = 300 * time.Millisecond
	a := start(t, c)
	t.Run("oversized", func(t *testing.T) {
		t.Parallel()
		o := newOutsider(t)
		s := o.open(o.dial(a), memberProtocol)
		s.Write([]byte{frameHello, 0xff, 0xff, 0xff, 0xff, 0x0f})
		awaitClosed(t, s)
	})
	t.Run("slow loris", func(t *testing.T) {
		t.Parallel()
		o := newOutsider(t)
		s := o.open(o.dial(a), memberProtocol)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		started := time.Now()
		header := []byte{frameHello, 0x80, 0x10}
		for i := 0; ; i++ {
			b := []byte{0}
			if i < len(header) {
				b[0] = header[i]
			}
			if _, err := s.Write(b); err != nil {
				break
			}
			if time.Since(started) > patience {
				t.Fatal("one byte at a time keeps a connection open")
			}
			<-tick.C
		}
	})
}

// Nothing of gossip flows on a connection before both sides have proven themselves, and it does at once
// after that: the node opens its gossip stream to the new member, and takes messages from it.
func TestGossipBeginsWithTheProof(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	o := newOutsider(t)
	c := o.dial(a)

	early := o.open(c, pubsub.GossipSubID_v12)
	early.Write([]byte("early"))
	if _, err := early.Read(make([]byte, 1)); err == nil {
		t.Fatal("a gossip stream before the proof was not reset")
	}
	if err := a.Publish(t.Context(), []byte("not for strangers")); err != nil {
		t.Fatal(err)
	}

	s := o.open(c, memberProtocol)
	writeFrame(s, frameHello, encodeHello(o.certified(a.member.authority, time.Now()).marshal(), nil))
	if kind, _, err := readFrame(s, proofFrameMax); err != nil || kind != frameHello {
		t.Fatalf("proof: frame %d, %v", kind, err)
	}
	// The node knows us now, but does not know that we accept it: it must not open streams yet.
	select {
	case id := <-o.inbound:
		t.Fatalf("the node opened %s before we agreed", id)
	default:
	}
	if a.spans.connected(o.id) {
		t.Fatal("up before both sides agreed")
	}
	writeFrame(s, frameAgreed, nil)
	a.awaitPeer(nodeID(o.id), true)
	if id := next(t, o.inbound, "gossip stream"); id != pubsub.GossipSubID_v12 {
		t.Errorf("the node opened %s, want gossip", id)
	}
}

// What strangers can hold open at once is bounded, per address and in total.
func TestUnprovenConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	c.proofTimeout = 2 * patience
	a := start(t, c)
	var open []network.Conn
	for range unprovenPerIPMax {
		open = append(open, newOutsider(t).dial(a))
	}
	waitUntil(t, "all of them are counted", func() bool { return a.gate.strangers() == unprovenPerIPMax })
	one := newOutsider(t)
	info := a.addrInfo()
	one.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := one.DialPeer(ctx, a.id); err == nil {
		t.Errorf("connection %d of one address was accepted", len(open)+1)
	}
	for _, c := range open {
		c.Close()
	}
	waitUntil(t, "the bound is free again", func() bool { return a.gate.strangers() == 0 })
	one.Backoff().Clear(a.id)
	if _, err := one.DialPeer(within(t), a.id); err != nil {
		t.Errorf("after the others left: %v", err)
	}
}

func (g *gate) strangers() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.unproven
}

// waitUntil polls a condition that no event tells of.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(t); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// A peer that failed its proof is turned away for a while.
func TestFailedProofIsPunished(t *testing.T) {
	t.Parallel()
	g := newGate()
	g.set(modeOpen)
	for i := range penaltyMax + 1 {
		g.punish(peer.ID(rune(i)))
	}
	if len(g.penalties) != penaltyMax {
		t.Errorf("%d penalties kept, want %d", len(g.penalties), penaltyMax)
	}
	last := peer.ID(rune(penaltyMax))
	if g.InterceptSecured(network.DirInbound, last, nil) {
		t.Error("a punished peer came in")
	}
	if !g.InterceptSecured(network.DirOutbound, last, nil) {
		t.Error("dialling a punished peer must be possible: it may have a new certificate")
	}
	g.pardon(last)
	if !g.InterceptSecured(network.DirInbound, last, nil) {
		t.Error("a pardoned peer stayed out")
	}
}

func mustAddr(t *testing.T, text string) ma.Multiaddr {
	t.Helper()
	a, err := ma.NewMultiaddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
