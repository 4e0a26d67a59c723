package p2p

import (
	"net/netip"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// Bounds on what strangers and members can make this node hold. All of them are enforced by libp2p's
// resource manager, except the two on unproven connections, which the gate enforces (it alone knows what
// is proven).
const (
	// unprovenMax is how many connections may be between accept and proof of membership at once; a further
	// one is refused. unprovenPerIPMax is the same for one address: a site behind one NAT comes back from a
	// power cut with more, and its nodes retry.
	unprovenMax      = 64
	unprovenPerIPMax = 16

	connsPerPeerMax      = 8       // two simultaneous dials with a few addresses each, before duplicates are closed
	streamsPerPeerMax    = 64      // each way: control, gossip and sync
	syncStreamsMax       = 16      // inbound sync streams of one peer at once; a further one is reset
	windowMemoryPerPeer  = 6 << 20 // receive windows that one peer makes us promise, over all of its streams, on average
	windowMemoryBase     = 32 << 20
	windowMemoryConnMax  = 32 << 20
	windowMemoryStrmMax  = 16<<20 + 256<<10 // yamux's largest window
	strangersMemoryBytes = 16 << 20

	// New connections of one IP address: this many at once, then this many per second.
	connBurstPerIP = 128
	connRatePerIP  = 8
)

// newResourceManager bounds connections, streams and windows for a node of at most peersHigh peers.
func newResourceManager(peersHigh int) (network.ResourceManager, error) {
	conns := 2*peersHigh + unprovenMax
	limits := rcmgr.PartialLimitConfig{
		System:      systemLimits(conns, peersHigh),
		Transient:   transientLimits(),
		PeerDefault: peerLimits(),
		Conn:        rcmgr.ResourceLimits{Memory: windowMemoryConnMax, FD: 1, Conns: 1, ConnsInbound: 1, ConnsOutbound: 1},
		Stream:      rcmgr.ResourceLimits{Memory: windowMemoryStrmMax, Streams: 1, StreamsInbound: 1, StreamsOutbound: 1},
		ProtocolPeer: map[protocol.ID]rcmgr.ResourceLimits{
			syncProtocol:   {StreamsInbound: syncStreamsMax, Streams: 2 * syncStreamsMax},
			memberProtocol: {StreamsInbound: connsPerPeerMax, Streams: 2 * connsPerPeerMax},
			joinProtocol:   {StreamsInbound: 2, Streams: 4},
		},
	}
	return rcmgr.NewResourceManager(
		rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(perAddress(conns)),
		rcmgr.WithConnRateLimiters(connRates()),
	)
}

func systemLimits(conns, peersHigh int) rcmgr.ResourceLimits {
	n := rcmgr.LimitVal(conns)
	streams := n * streamsPerPeerMax
	return rcmgr.ResourceLimits{
		Conns: n, ConnsInbound: n, ConnsOutbound: n, FD: n,
		Streams: 2 * streams, StreamsInbound: streams, StreamsOutbound: streams,
		Memory: rcmgr.LimitVal64(windowMemoryBase + peersHigh*windowMemoryPerPeer),
	}
}

// transientLimits hold for what has no peer or no protocol yet: handshakes and negotiations.
func transientLimits() rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{
		Conns: 2 * unprovenMax, ConnsInbound: unprovenMax, ConnsOutbound: unprovenMax, FD: 2 * unprovenMax,
		Streams: 8 * unprovenMax, StreamsInbound: 4 * unprovenMax, StreamsOutbound: 4 * unprovenMax,
		Memory: strangersMemoryBytes,
	}
}

func peerLimits() rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{
		Conns: connsPerPeerMax, ConnsInbound: connsPerPeerMax, ConnsOutbound: connsPerPeerMax, FD: connsPerPeerMax,
		Streams: 2 * streamsPerPeerMax, StreamsInbound: streamsPerPeerMax, StreamsOutbound: streamsPerPeerMax,
		Memory: windowMemoryConnMax + windowMemoryStrmMax,
	}
}

// perAddress lets one address hold all of the connections: a whole site may sit behind one NAT. What one
// address can do before it proves membership is bounded by unprovenPerIPMax.
func perAddress(conns int) (v4, v6 []rcmgr.ConnLimitPerSubnet) {
	return []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: conns}},
		[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: conns}}
}

// connRates slows down an address that connects over and over. Loopback is not slowed.
func connRates() *rate.Limiter {
	limit := rate.Limit{RPS: connRatePerIP, Burst: connBurstPerIP}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: limit}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: limit}},
		},
	}
}
