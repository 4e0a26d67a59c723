package p2p

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// DefaultPort is the libp2p port, TCP and UDP alike.
const DefaultPort = 7381

// defaultListen is every interface, both transports. The IPv6 pair is dropped, with a note in the log, on
// a machine without IPv6.
var defaultListen = []string{
	fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", DefaultPort),
	fmt.Sprintf("/ip4/0.0.0.0/udp/%d/quic-v1", DefaultPort),
	fmt.Sprintf("/ip6/::/tcp/%d", DefaultPort),
	fmt.Sprintf("/ip6/::/udp/%d/quic-v1", DefaultPort),
}

// Bounds on what a configuration may ask for.
const (
	listenMax      = 16
	staticMax      = 64
	peersHighMax   = 4096
	joinTimeout    = 15 * time.Second // a person waits for the answer, with addresses of several networks to try
	peersLow       = 24               // random graphs of this degree stay connected with a third of the nodes gone
	peersHigh      = 48
	peersLowSmall  = 8 // a device on a battery: gossipsub's own mesh degree is 6
	peersHighSmall = 16
)

// Config says how a node takes part in the mesh. The zero value of every field but Dir and Name is usable.
type Config struct {
	// Dir is the data directory. Key, membership and peerstore live in its folder "p2p", which is made if
	// it is missing. No default.
	Dir string

	// Name is how operators call this node, 1 to 63 bytes of printable UTF-8 without blanks. It goes into
	// the certificate when the node founds or joins a fabric, and stays what it was then. No default.
	Name string

	// Tier is "device", "edge", "regional" or "cloud"; it goes into the certificate as Name does.
	// Default "device": the tier that promises least.
	Tier string

	// Listen are the multiaddrs to listen on; port 0 picks a free one. Only TCP and QUIC version 1 are
	// spoken. Default: port 7381 of every interface, TCP and QUIC, IPv4 and IPv6. At most 16.
	Listen []string

	// Ticket joins a fabric with what Invite gave at another node. On a node that is a member of that
	// fabric already it is noted in the log and otherwise ignored. Default "": a node without membership
	// founds a fabric of its own.
	Ticket string

	// Peers are addresses to keep connected to, each a multiaddr that ends in /p2p/PEER-ID; names
	// (/dns4/…) are resolved at each dial. For networks where mDNS does not reach. Default none, at most 64.
	Peers []string

	// MDNS finds members on the local network by multicast DNS. A network that does not carry multicast
	// is noted in the log and otherwise harmless. Default false.
	MDNS bool

	// PeersLow is the number of connections up to which this node dials known members by itself; PeersHigh
	// the number above which the least useful connections are closed, down to PeersLow. Gossip reaches
	// everyone over a connected graph, so a large fabric needs no full mesh. Default 24 and 48, on a
	// device 8 and 16: each connection costs memory and keep-alives.
	PeersLow, PeersHigh int

	// PingInterval is how often the round trip to a connected peer is measured, ± 10 %. Each ping costs
	// about 50 bytes each way. Default 5 minutes, at least 1 second.
	PingInterval time.Duration

	// Relay says whether and how far this node passes on what other members cannot send to each other directly.
	Relay Relay

	// Directory says whether this node takes part in the fabric's directory of members: "on", "off" or "auto": on at
	// edge, regional and cloud nodes. Nothing moves in it while nobody asks, and fabrics of up to 128 members do not
	// use it. Devices that need it ask their neighbours. Default "auto".
	Directory string

	// Logger receives what an operator should know. Default: discard.
	Logger *slog.Logger

	// Registerer receives the host's metrics (edgemem_p2p_…). Default: none are registered.
	Registerer prometheus.Registerer

	// Now is the wall clock by which certificates and tickets expire. Default time.Now.
	Now func() time.Time

	// proofTimeout is how long a connection may take to prove membership. Default proofTimeout; shorter in
	// tests.
	proofTimeout time.Duration

	// few is how many neighbours at most get frames directly. Default fewMax; tests say -1, for none.
	few int

	// limited tells whether a relay bounds what a connection carries. Default: what libp2p says; tests say
	// otherwise.
	limited func(network.Conn) bool

	// bucket is how many servers a record of the directory is on. Default directoryBucket; fewer in tests.
	bucket int

	// seekEvery is how often a neighbour may ask for members. Default seekEvery; shorter in tests.
	seekEvery time.Duration

	// public tells addresses that mean the same everywhere. Default: what the registries say; tests in networks of
	// their own say otherwise.
	public func(ma.Multiaddr) bool

	// Derived by validate.
	listen []ma.Multiaddr
	static []peer.AddrInfo
}

// validate fills in the defaults and checks every field; the error names the wrong one.
func (c *Config) validate() error {
	c.setDefaults()
	wrong := func(field, format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrConfig, field, fmt.Sprintf(format, args...))
	}
	if c.Dir == "" {
		return wrong("Dir", "is empty; give the data directory")
	}
	if err := checkName(c.Name); err != nil {
		return wrong("Name", "%v", err)
	}
	if err := checkTier(c.Tier); err != nil {
		return wrong("Tier", "%v", err)
	}
	if c.PeersLow < 1 || c.PeersHigh > peersHighMax || c.PeersLow > c.PeersHigh {
		return wrong("PeersLow, PeersHigh", "%d and %d: want 1 ≤ PeersLow ≤ PeersHigh ≤ %d", c.PeersLow, c.PeersHigh, peersHighMax)
	}
	if c.PingInterval < time.Second {
		return wrong("PingInterval", "%v is under a second", c.PingInterval)
	}
	if c.Directory != "auto" && c.Directory != "on" && c.Directory != "off" {
		return wrong("Directory", "%q is not one of auto, on, off", c.Directory)
	}
	if err := c.Relay.validate(); err != nil {
		return wrong("Relay", "%v", err)
	}
	if err := c.parseListen(); err != nil {
		return wrong("Listen", "%v", err)
	}
	if err := c.parsePeers(); err != nil {
		return wrong("Peers", "%v", err)
	}
	return nil
}

func (c *Config) servesDirectory() bool {
	return c.Directory == "on" || c.Directory == "auto" && c.Tier != "device"
}

func checkTier(tier string) error {
	if !slices.Contains(tiers, tier) {
		return fmt.Errorf("%q is not one of %s", tier, strings.Join(tiers, ", "))
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.Tier == "" {
		c.Tier = "device"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.PingInterval == 0 {
		c.PingInterval = 5 * time.Minute
	}
	c.Relay.setDefaults(c.Tier)
	if c.bucket == 0 {
		c.bucket = directoryBucket
	}
	if c.seekEvery == 0 {
		c.seekEvery = seekEvery
	}
	if c.Directory == "" {
		c.Directory = "auto"
	}
	if c.proofTimeout == 0 {
		c.proofTimeout = proofTimeout
	}
	if c.few == 0 {
		c.few = fewMax
	}
	low, high := peersLow, peersHigh
	if c.Tier == "device" {
		low, high = peersLowSmall, peersHighSmall
	}
	if c.PeersHigh == 0 {
		c.PeersHigh = max(high, c.PeersLow)
	}
	if c.PeersLow == 0 {
		c.PeersLow = min(low, c.PeersHigh)
	}
}

func (c *Config) parseListen() error {
	texts := c.Listen
	if len(texts) == 0 {
		texts = defaultListen
	}
	if len(texts) > listenMax {
		return fmt.Errorf("%d addresses, at most %d are allowed", len(texts), listenMax)
	}
	c.listen = nil
	for _, text := range texts {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return fmt.Errorf("%q is not a multiaddr such as /ip4/0.0.0.0/tcp/%d: %w", text, DefaultPort, err)
		}
		if transportOf(a) == "" {
			return fmt.Errorf("%q is neither TCP (/ip4/…/tcp/PORT) nor QUIC (/ip4/…/udp/PORT/quic-v1)", text)
		}
		c.listen = append(c.listen, a)
	}
	return nil
}

func (c *Config) parsePeers() error {
	if len(c.Peers) > staticMax {
		return fmt.Errorf("%d addresses, at most %d are allowed", len(c.Peers), staticMax)
	}
	addrs := make([]ma.Multiaddr, 0, len(c.Peers))
	for _, text := range c.Peers {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return fmt.Errorf("%q is not a multiaddr: %w", text, err)
		}
		if _, err := peer.AddrInfoFromP2pAddr(a); err != nil {
			return fmt.Errorf("%q must be an address followed by /p2p/PEER-ID: %w", text, err)
		}
		addrs = append(addrs, a)
	}
	var err error
	c.static, err = peer.AddrInfosFromP2pAddrs(addrs...)
	return err
}

// transportOf tells "tcp" from "quic"; "" for anything else.
func transportOf(a ma.Multiaddr) string {
	names := make([]int, 0, 4)
	for _, p := range a.Protocols() {
		if p.Code != ma.P_P2P {
			names = append(names, p.Code)
		}
	}
	switch {
	case len(names) == 2 && names[1] == ma.P_TCP:
		return "tcp"
	case len(names) == 3 && names[1] == ma.P_UDP && names[2] == ma.P_QUIC_V1:
		return "quic"
	}
	return ""
}
