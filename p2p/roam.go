package p2p

import (
	"context"
	"net/netip"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A node that moves, from one network to another or from a cable to the radio, learns of it from the kernel where the
// kernel tells (roam_linux.go), and by looking, every lookEvery, where it does not. It then signs its new addresses,
// tells them to its neighbours, ends the links that are bound to addresses it no longer has, asks for a sign of life
// on the others, and tries everyone it knows at once.
const (
	lookEvery = 10 * time.Second
	// lookSeldom is how often it looks although the kernel tells.
	lookSeldom = time.Minute
	// settleTime is how long a burst of changes may take: an interface comes up with several addresses and routes.
	settleTime = 300 * time.Millisecond
	// maintainEvery is how often silence on links is looked at.
	maintainEvery = 3 * time.Second
	// expireEvery is how often certificates are looked at.
	expireEvery = time.Minute
	// probeRest is the least time between two rounds of probes: a route that flaps must not become traffic.
	probeRest = 10 * time.Second
)

// maintain looks after what no event of libp2p tells of: changes of the network, silence, certificates that expire.
func (h *Host) maintain() {
	news, told := h.watchNetwork()
	look := lookEvery
	if told {
		look = lookSeldom
	}
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	looked, expired := time.Now(), time.Now()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-news:
			h.settle(news)
			looked = time.Now()
			h.followNetwork()
			h.followRoutes(looked)
			continue
		case <-ticker.C:
		}
		now := time.Now()
		h.dropSilent(now)
		h.members.tellLate(now)
		h.seeker.ask()
		h.seeker.turn()
		if now.Sub(looked) >= look {
			looked = now
			h.followNetwork()
		}
		if now.Sub(expired) >= expireEvery {
			expired = now
			h.expire(h.cfg.Now())
		}
	}
}

// settle waits until nothing has changed for settleTime, but not for ever.
func (h *Host) settle(news <-chan struct{}) {
	limit := time.NewTimer(10 * settleTime)
	defer limit.Stop()
	for {
		quiet := time.NewTimer(settleTime)
		select {
		case <-news:
			quiet.Stop()
			continue
		case <-quiet.C:
		case <-limit.C:
			quiet.Stop()
		case <-h.ctx.Done():
			quiet.Stop()
		}
		return
	}
}

// watchNetwork gives word of changes; told is false if this platform, or this sandbox, gives none.
func (h *Host) watchNetwork() (news <-chan struct{}, told bool) {
	ch := make(chan struct{}, 1) // word that finds word pending has nothing to add
	watch, err := openNetworkWatch()
	if err != nil {
		h.log.Debug("p2p: the kernel does not tell of changes of the network; it is looked at every so often", "every", lookEvery, "err", err)
		return ch, false
	}
	stop := context.AfterFunc(h.ctx, func() { watch.Close() })
	running := h.goes.run(func() {
		defer stop()
		defer watch.Close()
		for watch.next() == nil {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	})
	return ch, running
}

// followNetwork reacts to new interfaces and addresses: others must hear of them, and what was out of reach
// may be in reach now.
func (h *Host) followNetwork() {
	if !h.hasMoved() {
		return
	}
	h.reachable.moved()
	h.refreshContact()
	h.log.Info("p2p: this node's addresses changed", "addrs", h.Addrs())
	h.members.spread(h.id, h.member.cert, h.ownContact())
	h.dropStranded()
	h.probeSoon(time.Now())
	h.keeper.reset()
}

// hasMoved tells whether our addresses have changed since it was last asked.
func (h *Host) hasMoved() bool {
	now := h.net.dialable()
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.ways
	h.ways = now
	return !sameAddrs(was, now)
}

// followRoutes reacts to a change that left the addresses as they were.
func (h *Host) followRoutes(now time.Time) {
	if h.probeSoon(now) {
		h.keeper.reset()
	}
}

// probeSoon probes unless that was done a moment ago.
func (h *Host) probeSoon(now time.Time) bool {
	h.mu.Lock()
	soon := now.Sub(h.probed) < probeRest
	if !soon {
		h.probed = now
	}
	h.mu.Unlock()
	if soon {
		return false
	}
	h.probe()
	return true
}

// dropStranded ends the connections whose local address is gone. Those of QUIC are bound to no address: they survive
// the move, or probes end them.
func (h *Host) dropStranded() {
	here, err := localAddrs()
	if err != nil {
		return
	}
	for _, l := range h.links.all() {
		if a, ok := addrOf(l.conn.LocalMultiaddr()); ok && !a.IsUnspecified() && !here[a] {
			h.log.Info("p2p: the address of a connection is gone; connection closed", "peer", l.peer, "addr", a)
			l.conn.Close()
		}
	}
}

// localAddrs are the addresses of this machine's interfaces.
func localAddrs() (map[netip.Addr]bool, error) {
	addrs, err := manet.InterfaceMultiaddrs()
	if err != nil {
		return nil, err
	}
	here := make(map[netip.Addr]bool, len(addrs))
	for _, m := range addrs {
		if a, ok := addrOf(m); ok {
			here[a] = true
		}
	}
	return here, nil
}

// addrOf is the IP address that a multiaddr begins with.
func addrOf(m ma.Multiaddr) (netip.Addr, bool) {
	ip, err := manet.ToIP(m)
	if err != nil {
		return netip.Addr{}, false
	}
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}
