package p2p

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// A fabric larger than a node's connections: each keeps a few, and a frame still reaches everyone.
func TestSparseFabric(t *testing.T) {
	t.Parallel()
	const n = 8
	nodes := []*node{start(t, sparse(testConfig(t, "n0")))}
	for i := 1; i < n; i++ {
		nodes = append(nodes, nodes[0].joined(sparse(testConfig(t, fmt.Sprintf("n%d", i)))))
	}
	for _, a := range nodes {
		waitUntil(t, a.Name()+" knows everyone", func() bool { return len(a.Peers()) == n-1 })
		waitUntil(t, a.Name()+" has neighbours", func() bool { return a.spans.count() >= 2 })
	}
	for _, to := range nodes[1:] {
		nodes[0].mustReach("for "+to.Name(), to)
	}
	last := nodes[n-1]
	for _, to := range nodes[:n-1] {
		last.mustReach("from the last for "+to.Name(), to)
	}
}

func sparse(c Config) Config {
	c.PeersLow, c.PeersHigh = 2, 8 // at first all of the others may dial one
	return c
}

// A node that moves tells its neighbours, who tell theirs, and signs it.
func TestChangedAddressesSpread(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	before := b.contactSeen(a)
	if err := a.net.listen([]ma.Multiaddr{mustAddr(t, "/ip4/127.0.0.1/udp/0/quic-v1")}, false); err != nil {
		t.Fatal(err)
	}
	a.followNetwork()
	waitUntil(t, "beta has alpha's new address", func() bool {
		now := b.contactSeen(a)
		return now.seq > before.seq && len(now.addrs) == 2
	})
	waitUntil(t, "the peerstore has it too", func() bool { return len(b.book.Addrs(a.id)) == 2 })
	a.followNetwork()
	if a.ownContact().seq != b.contactSeen(a).seq {
		t.Error("signed anew without a change")
	}
}

func (n *node) contactSeen(of *node) contact {
	m, _ := n.members.get(of.id)
	return m.contact
}

// A member's address list that another member made up does not pass.
func TestForgedMemberListEndsTheConnection(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	for name, entry := range map[string]func(o *outsider) []byte{
		"certificate": func(o *outsider) []byte {
			return appendEntry([]byte{1}, o.certified(fixedKey(3), time.Now()).marshal(), nil)
		},
		"addresses": func(o *outsider) []byte {
			return appendEntry([]byte{1}, b.member.cert.marshal(), a.contact.envelope)
		},
		"count": func(*outsider) []byte { return []byte{0xff, 0x7f} },
		"empty": func(*outsider) []byte { return nil },
	} {
		o := newOutsider(t)
		s := o.prove(o.dial(a), a)
		a.awaitPeer(nodeID(o.id), true)
		if err := writeFrame(s, frameMembers, entry(o)); err != nil {
			t.Fatal(err)
		}
		a.awaitPeer(nodeID(o.id), false)
		t.Logf("%s: disconnected", name)
	}
	if got := b.contactSeen(a); len(got.addrs) == 0 {
		t.Error("beta lost alpha's addresses")
	}
}

// Frames that this version does not know are skipped: a later version may send them.
func TestUnknownControlFramesAreSkipped(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	o := newOutsider(t)
	s := o.prove(o.dial(a), a)
	a.awaitPeer(nodeID(o.id), true)
	writeFrame(s, 200, []byte("from the future"))
	writeFrame(s, framePing, []byte("12345678"))
	for {
		kind, payload, err := readFrame(s, controlFrameMax)
		if err != nil {
			t.Fatal(err)
		}
		if kind == framePong {
			if string(payload) != "12345678" {
				t.Errorf("pong %q", payload)
			}
			return
		}
	}
}

func TestMDNSIsOptionalAndFinds(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	c := testConfig(t, "beta")
	c.MDNS = true // where there is no multicast, that is noted, not an error
	c.Ticket = a.invite(InviteOptions{})
	b := open(t, c)
	// Forget the way to alpha, as if it had come by another network, then see it on this one.
	b.keeper.forget(a.id)
	b.serve()
	(*found)(b.Host).HandlePeerFound(a.addrInfo())
	connected(a, b)
}

func TestCandidatesAreBounded(t *testing.T) {
	t.Parallel()
	h := tableOnly(t, FabricID{})
	for i := range candidatesMax + 10 {
		h.keeper.sighted(peer.ID(rune(i)))
	}
	if n := len(h.keeper.targets); n != candidatesMax {
		t.Errorf("%d candidates, want %d", n, candidatesMax)
	}
}

func TestMemberTableIsBounded(t *testing.T) {
	t.Parallel()
	ms := tableOnly(t, FabricID{}).members
	for i := range membersMax {
		ms.m[peer.ID(rune(i))] = &member{cert: &Certificate{}, lastSeen: time.Unix(int64(1000+i), 0)}
	}
	ms.makeRoom()
	if _, kept := ms.m[peer.ID(rune(0))]; kept || len(ms.m) != membersMax-1 {
		t.Errorf("%d members; the one unseen for longest kept: %v", len(ms.m), kept)
	}
}

// A large table is told in part, within the frame's bound.
func TestMemberListIsBounded(t *testing.T) {
	t.Parallel()
	h := tableOnly(t, FabricID{})
	cert := fixedCertificate(t)
	envelope := make([]byte, recordMax)
	for i := range 3 * memberListMax {
		h.members.m[peer.ID(rune(i))] = &member{cert: cert, contact: contact{envelope: envelope}}
	}
	if frame := h.members.list("x"); len(frame) > controlFrameMax {
		t.Errorf("a frame of %d bytes", len(frame))
	}
}

func TestDiallingOrder(t *testing.T) {
	t.Parallel()
	var addrs []ma.Multiaddr
	for _, text := range []string{
		"/ip4/8.8.8.8/tcp/1", "/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip4/8.8.8.8/udp/1/quic-v1",
	} {
		addrs = append(addrs, mustAddr(t, text))
	}
	ranked := rankAddrs(slices.Clone(addrs))
	slices.SortStableFunc(ranked, func(a, b network.AddrDelay) int { return int(a.Delay - b.Delay) })
	var got []string
	for _, r := range ranked {
		if r.Addr.String()[:8] != "/ip4/8.8" {
			got = append(got, r.Addr.String())
		}
	}
	want := "/ip4/127.0.0.1/tcp/1 /ip4/10.0.0.1/tcp/1 /ip4/10.0.0.1/udp/1/quic-v1"
	if strings.Join(got, " ") != want || len(ranked) != len(addrs) {
		t.Errorf("local order %v, want %s", got, want)
	}
}

// Two hosts cannot share one registry; the failure of the second leaves the first one's metrics alone.
func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	ca, cb := testConfig(t, "alpha"), testConfig(t, "beta")
	ca.Registerer, cb.Registerer = reg, reg
	a := start(t, ca)
	if h, err := Open(within(t), cb); err == nil {
		h.Close()
		t.Error("two hosts registered the same metrics")
	}
	b := a.joined(testConfig(t, "gamma"))
	connected(a, b)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "edgemem_p2p_peers_connected" {
			if v := f.Metric[0].GetGauge().GetValue(); v != 1 {
				t.Errorf("%v peers connected, want 1", v)
			}
			return
		}
	}
	t.Error("no metrics left")
}
