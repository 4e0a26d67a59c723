package p2p

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	connctl "github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// mode says who may connect.
type mode int

const (
	modeClosed  mode = iota // nobody: before Serve, and from Close on
	modeJoining             // only out, and only to the issuer of the ticket
	modeOpen                // members, and strangers for as long as a proof takes
	modeOffline             // nobody, by the operator's wish
)

// A peer that failed its proof is turned away at once for a while, before it costs another handshake.
const (
	penaltyTime = 30 * time.Second
	penaltyMax  = 1024 // peers remembered; when full, the one whose penalty ends first is forgotten
)

// gate is libp2p's connection gater: the first of two doors. It knows addresses and peer ids, not members;
// the second door, in links.go, asks for the proof.
type gate struct {
	self      peer.ID // no way to others leads through it
	mu        sync.Mutex
	mode      mode
	issuer    peer.ID // whom modeJoining lets us dial
	penalties map[peer.ID]time.Time
	unproven  int
	perIP     map[string]int
}

var _ connmgr.ConnectionGater = (*gate)(nil)

func newGate() *gate { return &gate{penalties: map[peer.ID]time.Time{}, perIP: map[string]int{}} }

func (g *gate) set(m mode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode = m
}

func (g *gate) is(m mode) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mode == m
}

// joinThrough opens the way to one peer only.
func (g *gate) joinThrough(issuer peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode, g.issuer = modeJoining, issuer
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *gate) InterceptPeerDial(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mode == modeOpen || g.mode == modeJoining && p == g.issuer
}

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *gate) InterceptAddrDial(_ peer.ID, a ma.Multiaddr) bool {
	relay, _ := relayOf(a)
	return dialledAs(a) && (relay == "" || relay != g.self)
}

// InterceptAccept implements connmgr.ConnectionGater. It comes before the security handshake, so it sees
// an address only. A few more than the bounds can slip through while their handshakes run; the resource
// manager bounds those.
func (g *gate) InterceptAccept(c network.ConnMultiaddrs) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mode == modeOpen && g.unproven < unprovenMax && g.perIP[ipOf(c)] < unprovenPerIPMax
}

// InterceptSecured implements connmgr.ConnectionGater: now the peer id is known.
func (g *gate) InterceptSecured(dir network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return dir == network.DirOutbound || !time.Now().Before(g.penalties[p])
}

// InterceptUpgraded implements connmgr.ConnectionGater. The mode is asked once more because the handshake
// took a while.
func (g *gate) InterceptUpgraded(c network.Conn) (bool, connctl.DisconnectReason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mode == modeOpen || g.mode == modeJoining && c.RemotePeer() == g.issuer, 0
}

// enter and leave count connections that have not proven membership.
func (g *gate) enter(ip string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unproven++
	g.perIP[ip]++
}

func (g *gate) leave(ip string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unproven--
	if g.perIP[ip]--; g.perIP[ip] == 0 {
		delete(g.perIP, ip)
	}
}

func (g *gate) punish(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.penalties) >= penaltyMax {
		g.forgetOnePenalty()
	}
	g.penalties[p] = time.Now().Add(penaltyTime)
}

func (g *gate) forgetOnePenalty() {
	var first peer.ID
	for p, end := range g.penalties {
		if first == "" || end.Before(g.penalties[first]) {
			first = p
		}
	}
	delete(g.penalties, first)
}

func (g *gate) pardon(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.penalties, p)
}

// ipOf is the remote IP address in text, "" if there is none.
func ipOf(c network.ConnMultiaddrs) string {
	ip, err := manet.ToIP(c.RemoteMultiaddr())
	if err != nil {
		return ""
	}
	return ip.String()
}
