package p2p

import (
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	ma "github.com/multiformats/go-multiaddr"
)

// Hole punching turns a circuit into a direct connection although both ends are behind address translators: over the
// circuit they agree on a moment, and send to each other at once, so that each translator takes the other's packets
// for answers (libp2p's DCUtR). It is libp2p's own service, over proven members only; what it would learn from
// identify, the addresses that translators gave us, it gets from neighbours (observed.go). QUIC alone is punched: its
// packets leave from the port that others see, whereas each TCP connection of ours has a port of its own.

// provenAlready is what hole punching knows of identify: all that there is to know of a peer is known when it is
// proven, and it hears of no other.
type provenAlready struct{}

var _ identify.IDService = provenAlready{}

var known = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

func (provenAlready) IdentifyConn(network.Conn)                 {}
func (provenAlready) IdentifyWait(network.Conn) <-chan struct{} { return known }
func (provenAlready) Start()                                    {}
func (provenAlready) Close() error                              { return nil }

// punchAddrs are the addresses at which a hole for us may be opened.
func (h *Host) punchAddrs() []ma.Multiaddr {
	addrs := append(h.reachable.mapped(), h.reachable.external()...)
	for _, a := range h.net.dialable() {
		if h.isPublic(a) {
			addrs = append(addrs, a)
		}
	}
	addrs = ma.Unique(addrs)
	return addrs[:min(len(addrs), addrsMax)]
}

// punchIfPossible starts hole punching once there is an address to punch for. Before that the service would only poll.
func (h *Host) punchIfPossible() {
	if len(h.punchAddrs()) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.punch != nil || h.closed {
		return
	}
	var err error
	if h.punch, err = holepunch.NewService(h.services, provenAlready{}, h.punchAddrs); err != nil {
		h.log.Warn("p2p: no hole punching", "err", err)
	}
}
