package p2p

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
)

func valueOf(t *testing.T, c prometheus.Collector) int {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	return int(families[0].Metric[0].GetCounter().GetValue())
}

// copies is how many copies of frames have come by a path.
func (n *node) copies(path string) int { return valueOf(n.t, n.direct.metrics.in(path)) }

func (n *node) drops(reason string) int {
	return valueOf(n.t, n.direct.metrics.dropped.WithLabelValues(reason))
}

func (n *node) awaitWay(w way) {
	n.t.Helper()
	waitUntil(n.t, fmt.Sprintf("%s publishes by way %d", n.Name(), w), func() bool { return n.direct.current().way == w })
}

// awaitDirect waits until the node sends its frames directly to so many neighbours.
func (n *node) awaitDirect(neighbours int) {
	n.t.Helper()
	waitUntil(n.t, fmt.Sprintf("%s sends directly to %d", n.Name(), neighbours), func() bool {
		plan := n.direct.current()
		return plan.way == byStream && len(plan.to) == neighbours
	})
}

// burst publishes numbered frames and waits until every receiver has all of them, once.
func (n *node) burst(prefix string, frames int, to ...*node) {
	n.t.Helper()
	for i := range frames {
		n.mustPublish(n.t.Context(), fmt.Sprint(prefix, i))
	}
	for _, r := range to {
		got := map[string]bool{}
		for len(got) < frames {
			e := next(n.t, r.gossip, "frame of "+prefix+" at "+r.Name())
			if !strings.HasPrefix(e.frame, prefix) {
				continue
			}
			if got[e.frame] {
				n.t.Errorf("%s received %q twice", r.Name(), e.frame)
			}
			got[e.frame] = true
		}
	}
}

// What only some want is not sent to the others.
func TestFramesForSome(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	c := a.joined(testConfig(t, "gamma"))
	for _, n := range []*node{a, b, c} {
		n.awaitDirect(2)
	}
	wanted := func(id crdt.NodeID) bool { return id == b.Self() }
	for i := range burstFrames {
		if err := a.PublishTo(t.Context(), []byte(fmt.Sprint("some", i)), wanted); err != nil {
			t.Fatal(err)
		}
		if e := next(t, b.gossip, "a frame at beta"); e.frame != fmt.Sprint("some", i) {
			t.Fatalf("%q", e.frame)
		}
	}
	a.burst("all", 1, b, c)
	if n := c.copies(pathDirect); n != 1 {
		t.Errorf("gamma was sent %d frames", n)
	}
}

const burstFrames = 50

// In a mesh of three every frame crosses each link once, and none goes by the topic.
func TestFewHoldersGetOneCopy(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	c := a.joined(testConfig(t, "gamma"))
	all := []*node{a, b, c}
	for _, n := range all {
		n.awaitDirect(2)
	}
	a.burst("a", burstFrames, b, c)
	b.burst("b", burstFrames, a, c)
	for _, n := range []*node{a, b} {
		if got := n.copies(pathDirect); got != burstFrames {
			t.Errorf("%s received %d copies of %d frames directly", n.Name(), got, burstFrames)
		}
	}
	for _, n := range all {
		if topic, dup := n.copies(pathTopic), valueOf(t, n.direct.metrics.duplicates(pathDirect)); topic+dup != 0 {
			t.Errorf("%s received %d frames by the topic and %d twice", n.Name(), topic, dup)
		}
	}
}

// A peer that reads nothing costs the others nothing, and is told to pull.
func TestSlowPeerDelaysNobody(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	a.awaitPeer(b.Self(), true)
	slow := newOutsider(t)
	conn := slow.dial(a)
	slow.prove(conn, a)
	a.awaitPeer(nodeID(slow.id), true)
	s := slow.open(conn, pushProtocol)
	if err := writeFrame(s, pushNews, news{reach: []tail{tailOf(a.id)}}.encode()); err != nil {
		t.Fatal(err)
	}
	a.awaitDirect(2)

	// More than the queue and the windows of yamux hold.
	frame := strings.Repeat("x", MaxFrameBytes)
	for sent := 0; a.drops(dropPeer) == 0; sent++ {
		if sent > 4096 {
			t.Fatal("nothing was dropped")
		}
		a.mustPublish(t.Context(), frame)
		next(t, b.gossip, "frame at beta, which reads")
	}
	a.burst("after", burstFrames, b)

	for { // it reads at last
		kind, _, err := readFrame(s, pushFrameMax)
		if err != nil {
			t.Fatalf("no notice: %v", err)
		}
		if kind == pushMissed {
			return
		}
	}
}

// sparing is a node that sends nothing directly, as one with many neighbours.
func sparing(t *testing.T, name, tier string) Config {
	c := testConfig(t, name)
	c.Tier, c.few = tier, -1
	return c
}

// startNoting starts a node that notes what it is told to pull.
func startNoting(t *testing.T, c Config) (*node, chan crdt.NodeID) {
	t.Helper()
	missed := make(chan crdt.NodeID, 64)
	n := open(t, c)
	n.OnMissed(func(from crdt.NodeID) { missed <- from })
	return n.serve(), missed
}

// A device receives one copy of each frame from its feeder, none by the topic; when the feeder is gone, the next
// server takes over, and the device is told to pull from it.
func TestFeedAndFeederLoss(t *testing.T) {
	t.Parallel()
	a := start(t, sparing(t, "alpha", "edge"))
	b := a.joined(sparing(t, "beta", "edge"))
	connected(a, b)
	c := sparing(t, "delta", "device")
	c.Ticket = a.invite(InviteOptions{})
	d, missed := startNoting(t, c)
	waitUntil(t, "the device knows both servers", func() bool { return d.spans.count() == 2 })
	d.awaitWay(byFeeder)
	feeder, other := a, b
	if next(t, missed, "word to pull") == b.Self() {
		feeder, other = b, a
	}
	waitUntil(t, "the device has left the topic", func() bool {
		return len(a.subscribers()) == 1 && len(b.subscribers()) == 1
	})
	a.mustReach("ready", b)
	b.mustReach("ready", a)

	a.burst("a", burstFrames, b, d)
	b.burst("b", burstFrames, a, d)
	d.burst("d", burstFrames, a, b)
	if topic := d.copies(pathTopic); topic != 0 {
		t.Errorf("the device received %d copies by the topic", topic)
	}
	if feed, dup := d.copies(pathFeed), valueOf(t, d.direct.metrics.duplicates(pathFeed)); dup != 0 {
		t.Errorf("the device received %d copies, %d of them twice", feed, dup)
	}

	mustClose(t, feeder.Host)
	if from := next(t, missed, "word to pull"); from != other.Self() {
		t.Errorf("told to pull from %v, want %v", from, other.Self())
	}
	other.burst("still here", burstFrames, d)
	d.burst("me too", burstFrames, other)

	mustClose(t, other.Host)
	waitUntil(t, "the device is in the topic again", func() bool { return d.direct.current().topic })
}

// subscribers are the neighbours that are in the topic.
func (n *node) subscribers() []peer.ID { return n.Host.gossip.topic.ListPeers() }

// A peer behind a relay is not in the mesh of gossipsub. It gets every frame from whoever has the link to it, and its
// own are passed on.
func TestFeedOverLimitedConnections(t *testing.T) {
	t.Parallel()
	var far atomic.Value
	toFar := func(c network.Conn) bool { return c.RemotePeer() == far.Load() }
	ca, cb, cc := sparing(t, "alpha", "edge"), sparing(t, "beta", "edge"), sparing(t, "gamma", "edge")
	ca.limited = toFar
	cc.limited = func(network.Conn) bool { return true }
	cb.PeersLow, cc.PeersLow = 1, 1 // alpha is between the two
	a := start(t, ca)
	b := a.joined(cb)
	connected(a, b)
	cc.Ticket = a.invite(InviteOptions{})
	c := open(t, cc)
	far.Store(c.id)
	c.serve()
	connected(a, c)
	a.mustReach("ready", b)
	b.mustReach("ready", a)
	c.mustReach("ready", a)
	a.mustReach("ready", c)
	for range len(a.gossip) {
		<-a.gossip
	}

	a.burst("a", burstFrames, b, c)
	b.burst("b", burstFrames, a, c)
	c.burst("c", burstFrames, a, b)
	if topic := c.copies(pathTopic); topic != 0 {
		t.Errorf("%d frames went by the topic over a limited connection", topic)
	}
	if b.spans.connected(c.id) {
		t.Error("beta and gamma met without alpha: the test shows nothing")
	}
}

// Frames between two members behind a relay go by the relay, which is a member too, and not over their circuit: each
// crosses each link once.
func TestFramesGoByTheRelay(t *testing.T) {
	t.Parallel()
	r, a, b := behindRelay(t, relayConfig(t, "relay"))
	connected(a, b)
	r.awaitDirect(2)
	for _, n := range []*node{a, b} {
		waitUntil(t, n.Name()+" has the relay for a neighbour", func() bool { return n.spans.connected(r.id) })
		n.awaitWay(byTopic)
	}
	a.mustReach("ready", b)
	b.mustReach("ready", a)
	for range len(b.gossip) {
		<-b.gossip
	}
	feed, topic := b.copies(pathFeed)+b.copies(pathDirect), b.copies(pathTopic)
	a.burst("a", burstFrames, b, r)
	if feed = b.copies(pathFeed) + b.copies(pathDirect) - feed; feed != 0 {
		t.Errorf("%d frames went over the circuit", feed)
	}
	if topic = b.copies(pathTopic) - topic; topic < burstFrames {
		t.Errorf("%d frames by the topic, want %d", topic, burstFrames)
	}
	r.burst("r", burstFrames, a, b)
}

// A member that sends what no version does loses its connection, and no one else.
func TestBadPushStreamEndsTheConnection(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	for name, bytes := range map[string][]byte{
		"no stamp":  appendFrame(nil, pushDirect, []byte("abc")),
		"bad news":  appendFrame(nil, pushNews, []byte{0, 200}),
		"too large": {pushRelay, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		o := newOutsider(t)
		conn := o.dial(a)
		o.prove(conn, a)
		a.awaitPeer(nodeID(o.id), true)
		if _, err := o.open(conn, pushProtocol).Write(bytes); err != nil {
			t.Fatal(err)
		}
		a.awaitPeer(nodeID(o.id), false)
		t.Logf("%s: disconnected", name)
	}
}

// A peer that speaks no push streams, such as an earlier version, gets what goes by the topic.
func TestPeerWithoutPushStreams(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	o := newOutsider(t)
	conn := o.dial(a)
	o.prove(conn, a)
	a.awaitPeer(nodeID(o.id), true)
	a.awaitWay(byTopic)
	b := a.joined(testConfig(t, "beta"))
	a.mustReach("by the topic", b)
	if w := a.direct.current().way; w != byTopic {
		t.Errorf("way %d with a peer that was never heard", w)
	}
}

// pushStream is the open push stream to a peer, nil if there is none.
func (n *node) pushStream(to *node) network.Stream {
	for _, s := range n.spans.conn(to.id).GetStreams() {
		if s.Protocol() == pushProtocol {
			return s
		}
	}
	return nil
}

// A stream that ends is opened again, and frames flow again.
func TestPushStreamIsReopened(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	for _, n := range []*node{a, b} {
		n.awaitDirect(1)
	}
	a.burst("before", burstFrames, b)
	before := a.pushStream(b)
	before.Reset()
	waitUntil(t, "another stream is open", func() bool { s := a.pushStream(b); return s != nil && s.ID() != before.ID() })
	for _, n := range []*node{a, b} {
		n.awaitDirect(1)
	}
	a.burst("after", burstFrames, b)
	b.burst("after", burstFrames, a)
}

// What an operator sees of it.
func TestPushMetrics(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	reg := prometheus.NewRegistry()
	c.Registerer = reg
	a := start(t, c)
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	a.awaitDirect(1)
	a.burst("frame", burstFrames, b)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"edgemem_p2p_push_frames_total out direct": burstFrames,
		"edgemem_p2p_push_way direct":              1,
		"edgemem_p2p_push_way topic":               0,
		"edgemem_p2p_push_fed":                     0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", name, v, ok, want)
		}
	}
}
