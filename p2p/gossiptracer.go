package p2p

import (
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// gossipTracer hears from gossipsub what it does, in gossipsub's own loop: it must not wait.
type gossipTracer struct {
	deafTracer
	h *Host
}

// OnClosedOutboundStream implements pubsub.RawTracer.
func (t gossipTracer) OnClosedOutboundStream(p peer.ID) { t.h.neighbours.released(p) }

// SendRPC implements pubsub.RawTracer.
func (t gossipTracer) SendRPC(rpc *pubsub.RPC, _ peer.ID) {
	t.h.direct.metrics.out(pathTopic).Add(float64(len(rpc.GetPublish())))
}

// RecvRPC implements pubsub.RawTracer.
func (t gossipTracer) RecvRPC(rpc *pubsub.RPC) {
	t.h.direct.metrics.in(pathTopic).Add(float64(len(rpc.GetPublish())))
}

// DuplicateMessage implements pubsub.RawTracer.
func (t gossipTracer) DuplicateMessage(m *pubsub.Message) {
	if m.ReceivedFrom != t.h.id {
		t.h.direct.metrics.duplicates(pathTopic).Inc()
	}
}

// DropRPC implements pubsub.RawTracer: the queue to a peer was full.
func (t gossipTracer) DropRPC(rpc *pubsub.RPC, to peer.ID) {
	if n := len(rpc.GetPublish()); n > 0 {
		t.h.direct.metrics.dropped.WithLabelValues(dropTopic).Add(float64(n))
		t.h.direct.lost(to)
	}
}

// UndeliverableMessage implements pubsub.RawTracer: onGossip was too slow.
func (t gossipTracer) UndeliverableMessage(m *pubsub.Message) {
	if m.ReceivedFrom != t.h.id {
		t.h.direct.metrics.dropped.WithLabelValues(dropHere).Inc()
		t.h.gossip.overran(m.ReceivedFrom)
	}
}

// deafTracer is a pubsub.RawTracer that does nothing.
type deafTracer struct{}

var _ pubsub.RawTracer = deafTracer{}

func (deafTracer) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (deafTracer) OnClosedOutboundStream(peer.ID)           {}
func (deafTracer) Join(string)                              {}
func (deafTracer) Leave(string)                             {}
func (deafTracer) Graft(peer.ID, string)                    {}
func (deafTracer) Prune(peer.ID, string)                    {}
func (deafTracer) ValidateMessage(*pubsub.Message)          {}
func (deafTracer) DeliverMessage(*pubsub.Message)           {}
func (deafTracer) RejectMessage(*pubsub.Message, string)    {}
func (deafTracer) DuplicateMessage(*pubsub.Message)         {}
func (deafTracer) ThrottlePeer(peer.ID)                     {}
func (deafTracer) RecvRPC(*pubsub.RPC)                      {}
func (deafTracer) SendRPC(*pubsub.RPC, peer.ID)             {}
func (deafTracer) DropRPC(*pubsub.RPC, peer.ID)             {}
func (deafTracer) UndeliverableMessage(*pubsub.Message)     {}
