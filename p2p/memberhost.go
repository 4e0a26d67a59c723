package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"
)

// memberHost is the host as libp2p's own services see it, those that relay, punch holes and look members up:
// libp2p's host.Host, in which only proven members exist. Streams of others never reach a handler set here, because
// they do not pass the door (links.go); streams to others fail, and a dial ends with the verdict of the proof. So
// these services need not know of membership, and serve nobody else.
type memberHost struct {
	h       *Host
	bus     event.Bus
	net     *memberNet
	arrived event.Emitter // members whose protocols are known
	left    event.Emitter
}

var _ host.Host = (*memberHost)(nil)

func newMemberHost(h *Host) (*memberHost, error) {
	m := &memberHost{h: h, bus: eventbus.NewBus(), net: &memberNet{Network: h.net.Swarm, h: h}}
	var err error
	if m.arrived, err = m.bus.Emitter(new(event.EvtPeerIdentificationCompleted)); err != nil {
		return nil, err
	}
	m.left, err = m.bus.Emitter(new(event.EvtPeerConnectednessChanged))
	return m, err
}

// up tells the services of a proven connection.
func (m *memberHost) up(l *link) {
	for _, n := range m.net.told() {
		n.Connected(m.net, l.conn)
	}
}

// down tells them of its end.
func (m *memberHost) down(l *link) {
	m.left.Emit(event.EvtPeerConnectednessChanged{Peer: l.peer, Connectedness: m.net.Connectedness(l.peer)})
	for _, n := range m.net.told() {
		n.Disconnected(m.net, l.conn)
	}
}

// ID implements host.Host.
func (m *memberHost) ID() peer.ID { return m.h.id }

// Peerstore implements host.Host.
func (m *memberHost) Peerstore() peerstore.Peerstore { return m.h.book }

// Addrs implements host.Host.
func (m *memberHost) Addrs() []ma.Multiaddr { return m.h.directAddrs() }

// Network implements host.Host.
func (m *memberHost) Network() network.Network { return m.net }

// Mux implements host.Host.
func (m *memberHost) Mux() protocol.Switch { return m.h.mux }

// ConnManager implements host.Host.
func (m *memberHost) ConnManager() connmgr.ConnManager { return m.h.conns }

// EventBus implements host.Host.
func (m *memberHost) EventBus() event.Bus { return m.bus }

// Connect implements host.Host: it returns when the peer has proven itself.
func (m *memberHost) Connect(ctx context.Context, p peer.AddrInfo) error {
	if len(p.Addrs) > 0 {
		m.h.book.AddAddrs(p.ID, p.Addrs[:min(len(p.Addrs), addrsMax)], peerstore.TempAddrTTL)
	}
	_, err := m.h.reach(ctx, p.ID)
	return err
}

// SetStreamHandler implements host.Host.
func (m *memberHost) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	m.h.mux.AddHandler(id, handler(handle))
}

// SetStreamHandlerMatch implements host.Host.
func (m *memberHost) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handle network.StreamHandler) {
	m.h.mux.AddHandlerWithFunc(id, match, handler(handle))
}

func handler(handle network.StreamHandler) func(protocol.ID, io.ReadWriteCloser) error {
	return func(_ protocol.ID, rw io.ReadWriteCloser) error {
		handle(rw.(network.Stream))
		return nil
	}
}

// RemoveStreamHandler implements host.Host.
func (m *memberHost) RemoveStreamHandler(id protocol.ID) { m.h.mux.RemoveHandler(id) }

// NewStream implements host.Host. It dials if the context allows it, and opens a stream over a circuit only if the
// context allows that.
func (m *memberHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	l, _, ok := m.h.spans.current(p)
	if !ok {
		if no, why := network.GetNoDial(ctx); no {
			return nil, fmt.Errorf("%w: %v: %s", ErrNotConnected, p, why)
		}
		var err error
		if l, err = m.h.reach(ctx, p); err != nil {
			return nil, err
		}
	}
	if len(ids) == 1 {
		return openStreamOn(ctx, l.conn, ids[0])
	}
	s, err := l.conn.NewStream(ctx)
	if err == nil {
		err = selectProtocol(ctx, s, ids)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close implements host.Host; the Host closes what is under it.
func (m *memberHost) Close() error { return errors.Join(m.arrived.Close(), m.left.Close()) }

// reach gives a proven connection to a member, dialling if there is none. A circuit is not good enough if the context
// asks for a direct connection.
func (h *Host) reach(ctx context.Context, p peer.ID) (*link, error) {
	direct, _ := network.GetForceDirectDial(ctx)
	if l, _, ok := h.spans.current(p); ok && !(direct && isCircuit(l.conn.RemoteMultiaddr())) {
		return l, nil
	}
	conn, err := h.net.DialPeer(ctx, p)
	if err != nil {
		return nil, err
	}
	l := h.links.of(conn)
	if l == nil {
		return nil, ErrNotConnected
	}
	select {
	case <-l.verdict:
		return l, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// memberNet is the swarm as far as it leads to proven members.
type memberNet struct {
	network.Network
	h     *Host
	mu    sync.Mutex
	notif []network.Notifiee // a handful: one a service
}

// Notify implements network.Network. The notifiee hears of proven connections only.
func (n *memberNet) Notify(f network.Notifiee) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notif = append(n.notif, f)
}

// StopNotify implements network.Network.
func (n *memberNet) StopNotify(f network.Notifiee) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notif = slices.DeleteFunc(n.notif, func(o network.Notifiee) bool { return o == f })
}

func (n *memberNet) told() []network.Notifiee {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.notif)
}

// Peers implements network.Network.
func (n *memberNet) Peers() (ids []peer.ID) {
	for _, l := range n.h.spans.links() {
		ids = append(ids, l.peer)
	}
	return ids
}

// Connectedness implements network.Network.
func (n *memberNet) Connectedness(p peer.ID) network.Connectedness {
	l, _, ok := n.h.spans.current(p)
	switch {
	case !ok:
		return network.NotConnected
	case l.limited():
		return network.Limited
	}
	return network.Connected
}

// ConnsToPeer implements network.Network.
func (n *memberNet) ConnsToPeer(p peer.ID) []network.Conn {
	if c := n.h.spans.conn(p); c != nil {
		return []network.Conn{c}
	}
	return nil
}

// Conns implements network.Network.
func (n *memberNet) Conns() (all []network.Conn) {
	for _, l := range n.h.spans.links() {
		all = append(all, l.conn)
	}
	return all
}
