package p2p

import (
	"context"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
)

// hostView is the host that pubsub (and any libp2p protocol added later) gets: libp2p's host.Host, in which
// only proven members exist. Streams from others never reach its handlers, because they never pass the
// door; streams to others fail; its network lists proven peers and their connections alone.
//
// libp2p's protocols take up a new peer when identify has completed on it. This host has no identify; its
// event bus says so instead at the moment when both sides have accepted each other's proof (announce).
type hostView struct {
	h        *Host
	net      netView
	bus      event.Bus
	arrivals event.Emitter
	conns    connmgr.ConnManager
}

var _ host.Host = (*hostView)(nil)

func newHostView(h *Host, conns connmgr.ConnManager) (*hostView, error) {
	bus := eventbus.NewBus()
	arrivals, err := bus.Emitter(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return nil, err
	}
	return &hostView{h: h, net: netView{h.net, h}, bus: bus, arrivals: arrivals, conns: conns}, nil
}

// announce tells the protocols that a peer is there, and which of them it speaks: the ones that this node
// speaks, for now.
func (v *hostView) announce(l *link) error {
	return v.arrivals.Emit(event.EvtPeerIdentificationCompleted{
		Peer: l.peer, Conn: l.conn, Protocols: v.h.mux.Protocols(),
	})
}

// ID implements host.Host.
func (v *hostView) ID() peer.ID { return v.h.id }

// Peerstore implements host.Host.
func (v *hostView) Peerstore() peerstore.Peerstore { return v.h.book }

// Addrs implements host.Host.
func (v *hostView) Addrs() []ma.Multiaddr { return v.h.net.dialable() }

// Network implements host.Host.
func (v *hostView) Network() network.Network { return v.net }

// Mux implements host.Host.
func (v *hostView) Mux() protocol.Switch { return v.h.mux }

// ConnManager implements host.Host.
func (v *hostView) ConnManager() connmgr.ConnManager { return v.conns }

// EventBus implements host.Host.
func (v *hostView) EventBus() event.Bus { return v.bus }

// Connect implements host.Host. Dialling is the keeper's business alone.
func (v *hostView) Connect(_ context.Context, p peer.AddrInfo) error {
	if v.h.spans.connected(p.ID) {
		return nil
	}
	return fmt.Errorf("%w: %v", ErrNotConnected, p.ID)
}

// SetStreamHandler implements host.Host.
func (v *hostView) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	v.h.mux.AddHandler(id, streamHandler(handle))
}

// SetStreamHandlerMatch implements host.Host.
func (v *hostView) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handle network.StreamHandler) {
	v.h.mux.AddHandlerWithFunc(id, match, streamHandler(handle))
}

func streamHandler(handle network.StreamHandler) multistream.HandlerFunc[protocol.ID] {
	return func(_ protocol.ID, s io.ReadWriteCloser) error {
		handle(s.(network.Stream))
		return nil
	}
}

// RemoveStreamHandler implements host.Host.
func (v *hostView) RemoveStreamHandler(id protocol.ID) { v.h.mux.RemoveHandler(id) }

// NewStream implements host.Host: to proven peers only, and never by dialling. With several protocols to
// choose from it asks the other side, one round trip.
func (v *hostView) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	conn := v.h.spans.conn(p)
	if conn == nil {
		return nil, fmt.Errorf("%w: %v", ErrNotConnected, p)
	}
	if len(ids) == 1 {
		return openStream(ctx, conn, ids[0])
	}
	s, err := conn.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	if err := selectProtocol(ctx, s, ids); err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

func selectProtocol(ctx context.Context, s network.Stream, ids []protocol.ID) error {
	ctx, cancel := context.WithTimeout(ctx, negotiationTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	id, err := multistream.SelectOneOf(ids, s)
	if err != nil {
		return err
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return s.SetProtocol(id)
}

// Close implements host.Host; the Host closes what is under it.
func (v *hostView) Close() error { return nil }

// netView is the swarm as far as it is proven.
type netView struct {
	network.Network
	h *Host
}

// Peers implements network.Network.
func (n netView) Peers() []peer.ID { return n.h.spans.peers() }

// Connectedness implements network.Network.
func (n netView) Connectedness(p peer.ID) network.Connectedness {
	if n.h.spans.connected(p) {
		return network.Connected
	}
	return network.NotConnected
}

// ConnsToPeer implements network.Network.
func (n netView) ConnsToPeer(p peer.ID) []network.Conn { return n.h.spans.conns(p) }

// Conns implements network.Network.
func (n netView) Conns() []network.Conn {
	var all []network.Conn
	for _, p := range n.Peers() {
		all = append(all, n.ConnsToPeer(p)...)
	}
	return all
}
