package p2p

import (
	"context"
	"errors"
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

// gossipView is the host as gossipsub sees it: libp2p's host.Host, in which only neighbours exist, the
// proven members that neighbours.go shows. Streams of others never reach its handlers, because they do not
// pass the door; streams to others fail; its network lists neighbours alone.
//
// gossipsub takes up a new peer when identify has completed on it. This host runs no identify; its event bus
// says so instead when a neighbour is shown (announce).
type gossipView struct {
	h        *Host
	net      neighbourNet
	bus      event.Bus
	arrivals event.Emitter
}

var _ host.Host = (*gossipView)(nil)

func newGossipView(h *Host) (*gossipView, error) {
	bus := eventbus.NewBus()
	arrivals, err := bus.Emitter(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return nil, err
	}
	return &gossipView{h: h, net: neighbourNet{h.net, h.neighbours}, bus: bus, arrivals: arrivals}, nil
}

// announce tells gossipsub that a neighbour is there and speaks its protocols.
func (v *gossipView) announce(l *link) error {
	return v.arrivals.Emit(event.EvtPeerIdentificationCompleted{Peer: l.peer, Conn: l.conn, Protocols: gossipProtocols})
}

// ID implements host.Host.
func (v *gossipView) ID() peer.ID { return v.h.id }

// Peerstore implements host.Host.
func (v *gossipView) Peerstore() peerstore.Peerstore { return v.h.book }

// Addrs implements host.Host.
func (v *gossipView) Addrs() []ma.Multiaddr { return v.h.net.dialable() }

// Network implements host.Host.
func (v *gossipView) Network() network.Network { return v.net }

// Mux implements host.Host.
func (v *gossipView) Mux() protocol.Switch { return v.h.mux }

// ConnManager implements host.Host.
func (v *gossipView) ConnManager() connmgr.ConnManager { return v.h.conns }

// EventBus implements host.Host.
func (v *gossipView) EventBus() event.Bus { return v.bus }

// Connect implements host.Host. Dialling is the keeper's business alone.
func (v *gossipView) Connect(_ context.Context, p peer.AddrInfo) error {
	if v.h.neighbours.shows(p.ID) != nil {
		return nil
	}
	return fmt.Errorf("%w: %v", ErrNotConnected, p.ID)
}

// SetStreamHandler implements host.Host.
func (v *gossipView) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	v.h.mux.AddHandler(id, v.inbound(handle))
}

// SetStreamHandlerMatch implements host.Host.
func (v *gossipView) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handle network.StreamHandler) {
	v.h.mux.AddHandlerWithFunc(id, match, v.inbound(handle))
}

// inbound holds a neighbour's stream back until gossipsub has its own stream on the same connection, and
// closes the connection when the stream has ended. neighbours.go says why.
func (v *gossipView) inbound(handle network.StreamHandler) multistream.HandlerFunc[protocol.ID] {
	return func(_ protocol.ID, rw io.ReadWriteCloser) error {
		s := rw.(network.Stream)
		l := v.h.links.of(s.Conn())
		if l == nil {
			return s.Reset()
		}
		select {
		case <-l.gossips:
			handle(s)
		case <-l.ended:
		case <-v.h.ctx.Done():
		}
		s.Reset()
		return l.conn.Close()
	}
}

// RemoveStreamHandler implements host.Host.
func (v *gossipView) RemoveStreamHandler(id protocol.ID) { v.h.mux.RemoveHandler(id) }

// NewStream implements host.Host: to neighbours only, and never by dialling. It asks the other side which of
// the protocols it speaks, one round trip.
func (v *gossipView) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	l := v.h.neighbours.shows(p)
	if l == nil {
		return nil, fmt.Errorf("%w: %v", ErrNotConnected, p)
	}
	s, err := l.conn.NewStream(ctx)
	if err == nil {
		err = selectProtocol(ctx, s, ids)
	}
	if err != nil {
		l.conn.Close()
	} else if !v.h.neighbours.hold(l) {
		err = fmt.Errorf("%w: %v", ErrNotConnected, p)
	}
	if err != nil {
		v.h.neighbours.failed(p)
		return nil, err
	}
	return gossipStream{s, l.conn}, nil
}

// selectProtocol resets the stream unless the other side speaks one of the protocols.
func selectProtocol(ctx context.Context, s network.Stream, ids []protocol.ID) error {
	ctx, cancel := context.WithTimeout(ctx, negotiationTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	id, err := multistream.SelectOneOf(ids, s)
	if err == nil && stop() {
		err = s.SetProtocol(id)
	}
	if err != nil {
		s.Reset()
	}
	return errors.Join(err, ctx.Err())
}

// Close implements host.Host; the Host closes what is under it.
func (v *gossipView) Close() error { return nil }

// gossipStream is gossipsub's stream to a neighbour: when it ends, so does the connection.
type gossipStream struct {
	network.Stream
	conn network.Conn
}

func (s gossipStream) Close() error {
	err := s.Stream.Close()
	s.conn.Close()
	return err
}

func (s gossipStream) Reset() error {
	err := s.Stream.Reset()
	s.conn.Close()
	return err
}

func (s gossipStream) ResetWithError(code network.StreamErrorCode) error {
	err := s.Stream.ResetWithError(code)
	s.conn.Close()
	return err
}

// neighbourNet is the swarm as far as it leads to neighbours.
type neighbourNet struct {
	network.Network
	ns *neighbours
}

// Peers implements network.Network.
func (n neighbourNet) Peers() []peer.ID { return n.ns.shown() }

// Connectedness implements network.Network.
func (n neighbourNet) Connectedness(p peer.ID) network.Connectedness {
	if n.ns.shows(p) != nil {
		return network.Connected
	}
	return network.NotConnected
}

// ConnsToPeer implements network.Network.
func (n neighbourNet) ConnsToPeer(p peer.ID) []network.Conn {
	if l := n.ns.shows(p); l != nil {
		return []network.Conn{l.conn}
	}
	return nil
}

// Conns implements network.Network.
func (n neighbourNet) Conns() (all []network.Conn) {
	for _, p := range n.Peers() {
		all = append(all, n.ConnsToPeer(p)...)
	}
	return all
}
