package p2p

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
)

// fabricNet is libp2p's swarm with our transports, limits and gate: connections that are encrypted and
// bound to a peer id, and nothing above them. libp2p's usual host is not built on it, because that host
// answers identify and ping to whoever connects; here the door (links.go) decides what is answered.
type fabricNet struct {
	*swarm.Swarm
	rcmgr network.ResourceManager
	quic  *quicreuse.ConnManager
	tcp   transport.Transport
	parts netParts
}

type netParts struct {
	key       crypto.PrivKey
	id        peer.ID
	book      peerstore.Peerstore
	gate      *gate
	traffic   *traffic
	peersHigh int
}

func newNet(p netParts) (_ *fabricNet, err error) {
	if err := errors.Join(p.book.AddPrivKey(p.id, p.key), p.book.AddPubKey(p.id, p.key.GetPublic())); err != nil {
		return nil, err
	}
	n := &fabricNet{parts: p}
	if n.rcmgr, err = newResourceManager(p.peersHigh); err != nil {
		return nil, err
	}
	n.Swarm, err = swarm.NewSwarm(p.id, p.book, eventbus.NewBus(),
		swarm.WithConnectionGater(p.gate),
		swarm.WithResourceManager(n.rcmgr),
		swarm.WithMetrics(p.traffic),
		swarm.WithDialTimeout(dialTimeout),
		swarm.WithDialRanker(rankAddrs),
	)
	if err != nil {
		return nil, errors.Join(err, n.rcmgr.Close())
	}
	if err := n.addTransports(p); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *fabricNet) addTransports(p netParts) error {
	var err error
	if n.tcp, err = tcpTransport(p, n.rcmgr); err != nil {
		return err
	}
	q, err := n.quicTransport(p)
	if err != nil {
		return err
	}
	return errors.Join(n.AddTransport(n.tcp), n.AddTransport(q))
}

// tcpTransport speaks TLS 1.3, or Noise with a peer that prefers it, and yamux. TLS comes first because its
// AES-GCM runs in hardware wherever there is any. Ports are not reused: with SO_REUSEPORT two daemons would
// share a port in silence instead of the second one failing.
func tcpTransport(p netParts, limits network.ResourceManager) (transport.Transport, error) {
	secs, muxers, err := securities(p.key, &p.traffic.tcp)
	if err != nil {
		return nil, err
	}
	up, err := upgrader.New(secs, muxers, nil, limits, p.gate)
	if err != nil {
		return nil, err
	}
	return tcp.NewTCPTransport(up, limits, nil, tcp.DisableReuseport())
}

// securities is how a connection that is a stream of bytes is encrypted and divided into streams.
func securities(key crypto.PrivKey, meter *counter) ([]sec.SecureTransport, []upgrader.StreamMuxer, error) {
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: muxer()}}
	tlsSec, err1 := libp2ptls.New(libp2ptls.ID, key, muxers)
	noiseSec, err2 := noise.New(noise.ID, key, muxers)
	return []sec.SecureTransport{meteredSecurity{tlsSec, meter}, meteredSecurity{noiseSec, meter}}, muxers, errors.Join(err1, err2)
}

// freshQUIC is a QUIC transport with a socket of its own for each dial; done ends it.
func (n *fabricNet) freshQUIC() (t transport.Transport, done func() error, err error) {
	m, err := quicreuse.NewConnManager(quic.StatelessResetKey{}, quic.TokenGeneratorKey{}, quicreuse.DisableReuseport())
	if err != nil {
		return nil, nil, err
	}
	t, err = libp2pquic.NewTransport(n.parts.key, m, nil, n.parts.gate, n.rcmgr)
	if err != nil {
		return nil, nil, errors.Join(err, m.Close())
	}
	return t, m.Close, nil
}

func (n *fabricNet) quicTransport(p netParts) (transport.Transport, error) {
	var reset quic.StatelessResetKey
	var token quic.TokenGeneratorKey
	if err := errors.Join(derive(p.key, "edgemem quic stateless reset", reset[:]),
		derive(p.key, "edgemem quic address token", token[:])); err != nil {
		return nil, err
	}
	var err error
	n.quic, err = quicreuse.NewConnManager(reset, token,
		quicreuse.ConnContext(n.admitQUIC),
		quicreuse.VerifySourceAddress(n.rcmgr.VerifySourceAddress))
	if err != nil {
		return nil, err
	}
	return libp2pquic.NewTransport(p.key, n.quic, nil, p.gate, n.rcmgr)
}

// admitQUIC asks the resource manager before a QUIC handshake costs anything.
func (n *fabricNet) admitQUIC(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	addr, err := quicreuse.ToQuicMultiaddr(info.RemoteAddr, quic.Version1)
	if err != nil {
		addr = nil // let the resource manager decide without it
	}
	scope, err := n.rcmgr.OpenConnection(network.DirInbound, false, addr)
	if err != nil {
		return ctx, err
	}
	context.AfterFunc(ctx, scope.Done)
	return network.WithConnManagementScope(ctx, scope), nil
}

// derive makes a secondary key out of the node's own, so that it is stable over restarts.
func derive(key crypto.PrivKey, purpose string, into []byte) error {
	raw, err := key.Raw()
	if err != nil {
		return err
	}
	sub, err := hkdf.Key(sha256.New, raw, nil, purpose, len(into))
	copy(into, sub)
	return err
}

// Close ends every connection and listener and waits for them.
func (n *fabricNet) Close() error {
	err := n.Swarm.Close()
	if n.quic != nil {
		err = errors.Join(err, n.quic.Close())
	}
	return errors.Join(err, n.rcmgr.Close())
}

// listen opens every address. lenient drops IPv6 addresses on a machine that has none: the defaults ask
// for them without the operator having done so.
func (n *fabricNet) listen(addrs []ma.Multiaddr, lenient bool) error {
	for _, a := range addrs {
		err := n.AddListenAddr(a)
		if err == nil || lenient && isIP6(a) && noSuchFamily(err) {
			continue
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%w on %v: the port is taken by another program, or by another edgemem; stop it, or choose another port (0 picks a free one): %w", ErrListen, a, err)
		}
		return fmt.Errorf("%w on %v: %w", ErrListen, a, err)
	}
	return nil
}

func isIP6(a ma.Multiaddr) bool { return a.Protocols()[0].Code == ma.P_IP6 }

func noSuchFamily(err error) bool {
	var addrErr *net.AddrError
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.As(err, &addrErr)
}

// addrsMax bounds the addresses of one node, ours and others'.
const addrsMax = 16

// dialable are the addresses under which others may find this node now: the listen addresses with every
// interface filled in, loopback last (it serves meshes on one machine), without those that mean nothing to
// others. Their order is always the same, so that two calls differ only if the network does: the swarm lists
// its listeners in a random order.
func (n *fabricNet) dialable() []ma.Multiaddr {
	all := n.resolved()
	slices.SortFunc(all, func(a, b ma.Multiaddr) int {
		return cmp.Or(loopbackLast(a)-loopbackLast(b), a.Compare(b))
	})
	return all[:min(len(all), addrsMax)]
}

// ListenAddresses are where this node listens itself; that it accepts circuits is no place.
func (n *fabricNet) ListenAddresses() []ma.Multiaddr {
	return slices.DeleteFunc(n.Swarm.ListenAddresses(), isCircuit)
}

func (n *fabricNet) resolved() []ma.Multiaddr {
	listen := n.ListenAddresses()
	ifaces, err := manet.InterfaceMultiaddrs()
	if err != nil {
		return listen
	}
	all, err := manet.ResolveUnspecifiedAddresses(listen, ifaces)
	if err != nil {
		return listen
	}
	return slices.DeleteFunc(all, manet.IsIP6LinkLocal)
}

func loopbackLast(a ma.Multiaddr) int {
	if manet.IsIPLoopback(a) {
		return 1
	}
	return 0
}
