package p2p

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// MaxFrameBytes is the longest frame that Publish takes: a push window of 64 KiB and what goes around it.
const MaxFrameBytes = 64<<10 + 4<<10

const (
	// rpcSlack is what gossipsub puts around a frame: lengths, topic, our stamp, and piggybacked control.
	rpcSlack = 1 << 10

	// gossipOutbound is how many messages may wait for one slow peer. When it is full, gossipsub drops the
	// newest for that peer; the pull finds the gap. Messages are shared between the queues of all peers.
	gossipOutbound = 256
	// gossipInbound is how many received messages may wait for onGossip. When it is full the newest is
	// dropped here, but still forwarded to others; the pull finds the gap. At most 17 MiB.
	gossipInbound = 256

	// seenFor is how long a message id is remembered. A message goes round a mesh in seconds; a copy that
	// comes later is applied once more, which costs time and changes nothing.
	seenFor = 30 * time.Second

	messageIDLen = 16
	stampSaltLen = 4
)

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
}

func newGossip(ctx context.Context, h *Host, view *gossipView) (*gossip, error) {
	g := &gossip{h: h}
	if _, err := rand.Read(g.salt[:]); err != nil {
		return nil, err
	}
	var err error
	g.ps, err = pubsub.NewGossipSub(ctx, view,
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(MaxFrameBytes+rpcSlack),
		pubsub.WithMaxControlMessageSize(16<<10),
		pubsub.WithPeerOutboundQueueSize(gossipOutbound),
		pubsub.WithSeenMessagesTTL(seenFor),
		pubsub.WithFloodPublish(true), // one hop to every neighbour: latency first
		pubsub.WithRawTracer(gossipTracer{h}),
		pubsub.WithGossipSubProtocols(gossipProtocols, pubsub.GossipSubDefaultFeatures),
	)
	if err != nil {
		return nil, fmt.Errorf("p2p: start gossip: %w", err)
	}
	g.topic, err = g.ps.Join("/edgemem/" + h.fabric.short() + "/push/1")
	return g, err
}

// gossipProtocols are gossipsub 1.2 and 1.1: with IDONTWANT, and with what it falls back to.
var gossipProtocols = []protocol.ID{pubsub.GossipSubID_v12, pubsub.GossipSubID_v11}

func messageID(m *pb.Message) string {
	sum := sha256.Sum256(m.Data)
	return string(sum[:messageIDLen])
}

// publish stamps and sends a frame; it returns once gossipsub has it in its queue.
func (g *gossip) publish(ctx context.Context, frame []byte) error {
	if len(frame) > MaxFrameBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, len(frame), MaxFrameBytes)
	}
	return g.topic.Publish(ctx, g.stamp(frame))
}

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

// receive hands frames to onGossip until the host closes. from is the neighbour that the frame came from.
func (g *gossip) receive(sub *pubsub.Subscription, onGossip func(crdt.NodeID, []byte)) {
	for {
		m, err := sub.Next(g.h.ctx)
		if err != nil {
			return
		}
		if m.ReceivedFrom == g.h.id {
			continue
		}
		frame, ok := unstamp(m.Data)
		if !ok {
			continue
		}
		// The message is shared with gossipsub's cache and queues, the frame becomes the callee's.
		onGossip(g.h.spans.node(m.ReceivedFrom), bytes.Clone(frame))
	}
}
