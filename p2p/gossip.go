package p2p

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// MaxFrameBytes is the longest frame that Publish takes: a push window of 64 KiB and what goes around it.
const MaxFrameBytes = 64<<10 + 4<<10

const (
	// rpcSlack is what gossipsub puts around a frame: lengths, topic, our stamp, and piggybacked control.
	rpcSlack = 1 << 10

	// gossipOutbound is how many messages may wait for one slow peer. When it is full, gossipsub drops the
	// newest for that peer, and it is told to pull. Messages are shared between the queues of all peers; only
	// peers in the mesh, at most Dhi, have any: 52 MiB at the worst.
	gossipOutbound = 128
	// gossipInbound is how many received messages may wait for onGossip. When it is full the newest is
	// dropped here, but still forwarded to others; this node pulls. At most 17 MiB.
	gossipInbound = 256
	// overrunPause is how long after such a drop this node pulls: once for all of that time.
	overrunPause = time.Second

	stampSaltLen = 4
)

// gossipParams make a mesh in which a server receives each small frame 3.1 times (measured with 30, 40 and 100
// servers): once from each of its 3 to 6 neighbours in the mesh but those that it was first to tell. Of larger frames it
// receives 2.6 copies: from 1 KiB on, who has one says IDONTWANT to the rest. What the mesh loses pulls bring, so the
// lazy gossip, which repeats the ids of all messages every second, goes to two neighbours only and remembers two
// seconds: at 500 frames a second each list of ids is 9 KB, and what is remembered is what arrives in that time.
func gossipParams() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dscore, p.Dout = 4, 3, 6, 2, 1
	p.Dlazy, p.GossipFactor = 2, 0
	p.HistoryLength, p.HistoryGossip = 2, 1
	p.PruneBackoff = 10 * time.Second  // in a small mesh who was pruned by several has nobody else to turn to
	p.UnsubscribeBackoff = time.Second // a device that lost its feeder is back in the mesh at once
	return p
}

// gossip pushes frames to every member of the fabric over one gossipsub topic.
//
// Messages are not signed. Every hop is an encrypted link to a proven member, so a stranger can neither
// read nor write them; a signature would cost about 100 bytes and 100 µs a message to tell which member
// wrote it. That is what is given up: a member can forge another member's frames while it relays them. It
// could do the same in its answers to a pull; authorship is for the layer above to check, where dots are.
//
// A message's id is the hash of its content. In front of the frame goes a stamp, a few bytes that make each
// Publish unique: without it the same frame, published again after a loss, would be taken for a copy.
type gossip struct {
	h     *Host
	ps    *pubsub.PubSub
	topic *pubsub.Topic
	salt  [stampSaltLen]byte
	count atomic.Uint64

	sub     *pubsub.Subscription // nil while not in the topic; only attend touches it
	wake    chan struct{}        // room for one: a wake-up that finds one pending has nothing to add
	overrun atomic.Bool          // a pull is due because onGossip was too slow
}

func newGossip(ctx context.Context, h *Host, view *gossipView) (*gossip, error) {
	g := &gossip{h: h, wake: make(chan struct{}, 1)}
	if _, err := rand.Read(g.salt[:]); err != nil {
		return nil, err
	}
	var err error
	g.ps, err = pubsub.NewGossipSub(ctx, view, gossipOptions(gossipTracer{h: h})...)
	if err != nil {
		return nil, fmt.Errorf("p2p: start gossip: %w", err)
	}
	g.topic, err = g.ps.Join("/edgemem/" + h.fabric.short() + "/push/1")
	return g, err
}

func gossipOptions(t pubsub.RawTracer) []pubsub.Option {
	return []pubsub.Option{
		pubsub.WithGossipSubParams(gossipParams()),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(MaxFrameBytes + rpcSlack),
		pubsub.WithMaxControlMessageSize(16 << 10),
		pubsub.WithPeerOutboundQueueSize(gossipOutbound),
		pubsub.WithSeenMessagesTTL(seenFor),
		pubsub.WithFloodPublish(false), // few neighbours have push streams; with many it would cost a copy each
		pubsub.WithRawTracer(t),
		pubsub.WithGossipSubProtocols(gossipProtocols, pubsub.GossipSubDefaultFeatures),
	}
}

// gossipProtocols are gossipsub 1.2 and 1.1: with IDONTWANT, and with what it falls back to.
var gossipProtocols = []protocol.ID{pubsub.GossipSubID_v12, pubsub.GossipSubID_v11}

// messageID is a frame's id, as gossipsub wants it.
func messageID(m *pb.Message) string {
	id := idOf(m.Data)
	return string(id[:])
}

// stamp puts in front of a frame what makes each Publish unique.
func (g *gossip) stamp(frame []byte) []byte {
	b := make([]byte, 0, stampSaltLen+binary.MaxVarintLen64+len(frame))
	b = append(b, g.salt[:]...)
	b = binary.AppendUvarint(b, g.count.Add(1))
	return append(b, frame...)
}

// unstamp takes the stamp off; ok is false for what no member of this version sends.
func unstamp(data []byte) (frame []byte, ok bool) {
	if len(data) < stampSaltLen {
		return nil, false
	}
	_, n := binary.Uvarint(data[stampSaltLen:])
	if n <= 0 {
		return nil, false
	}
	return data[stampSaltLen+n:], true
}

// join subscribes to the topic.
func (g *gossip) join() (err error) {
	g.sub, err = g.topic.Subscribe(pubsub.WithBufferSize(gossipInbound))
	if err != nil {
		return fmt.Errorf("p2p: subscribe: %w", err)
	}
	sub := g.sub
	g.h.goes.run(func() { g.receive(sub) })
	return nil
}

// follow has attend look at the plan.
func (g *gossip) follow() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// attend is in the topic for as long as the plan wants that.
func (g *gossip) attend() {
	for {
		select {
		case <-g.h.ctx.Done():
			return
		case <-g.wake:
		}
		switch want := g.h.direct.current().topic; {
		case want && g.sub == nil:
			if err := g.join(); err != nil && g.h.ctx.Err() == nil {
				g.h.log.Error("p2p: cannot return to the topic; frames come by pulls only", "err", err)
			}
		case !want && g.sub != nil:
			g.sub.Cancel()
			g.sub = nil
		}
	}
}

// receive takes messages until the subscription ends.
func (g *gossip) receive(sub *pubsub.Subscription) {
	for {
		m, err := sub.Next(g.h.ctx)
		if err != nil {
			return
		}
		if m.ReceivedFrom != g.h.id {
			g.h.direct.fromTopic(frameID([]byte(m.ID)), m.ReceivedFrom, m.Data)
		}
	}
}

// overran notes that messages were dropped because onGossip was too slow. Called from gossipsub's own loop.
func (g *gossip) overran(from peer.ID) {
	if !g.overrun.CompareAndSwap(false, true) {
		return
	}
	g.h.goes.run(func() {
		timer := time.NewTimer(overrunPause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-g.h.ctx.Done():
			return
		}
		g.overrun.Store(false)
		g.h.direct.onMissed(g.h.spans.node(from))
	})
}
