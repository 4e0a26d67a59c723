package p2p

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Head starts on a local network: loopback over the rest (it answers or refuses at once), TCP over QUIC.
const (
	lanAfterLoopback = 10 * time.Millisecond
	quicAfterTCP     = 50 * time.Millisecond
	// relayAfterDirect lets every direct address try first: a circuit costs a third node.
	relayAfterDirect = time.Second
)

// rankAddrs says in which order a peer's addresses are tried. On a local network TCP comes first: the
// kernel's stack moves a byte for a fraction of the processor time that a user-space QUIC takes, and there
// is next to no loss that QUIC would hide. Towards the Internet libp2p's own order holds, QUIC first: it
// survives a change of address and passes more translators.
func rankAddrs(addrs []ma.Multiaddr) []network.AddrDelay {
	var local, far, relayed []ma.Multiaddr
	for _, a := range addrs {
		if isCircuit(a) {
			relayed = append(relayed, a)
		} else if manet.IsPrivateAddr(a) {
			local = append(local, a)
		} else {
			far = append(far, a)
		}
	}
	var ranked []network.AddrDelay
	for _, a := range local {
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: localDelay(a)})
	}
	if len(far) > 0 {
		ranked = append(ranked, swarm.DefaultDialRanker(far)...)
	}
	var after time.Duration
	if len(ranked) > 0 {
		after = relayAfterDirect
	}
	for _, a := range relayed {
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: after})
	}
	return ranked
}

func localDelay(a ma.Multiaddr) (delay time.Duration) {
	if !manet.IsIPLoopback(a) {
		delay += lanAfterLoopback
	}
	if transportOf(a) == "quic" {
		delay += quicAfterTCP
	}
	return delay
}
