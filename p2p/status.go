package p2p

import (
	"encoding/json"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p/core/peer"
)

// PeerStatus is what this node knows of another member.
type PeerStatus struct {
	ID        crdt.NodeID `json:"id"`
	Name      string      `json:"name"`
	Tier      string      `json:"tier"`
	Connected bool        `json:"connected"`
	// RTT is the round trip on the connection, smoothed; 0 if not connected.
	RTT time.Duration `json:"-"`
	// Addrs are the member's own addresses, as it last signed them.
	Addrs []string `json:"addrs"`
	// Addr is the remote end of the connection, Transport "tcp" or "quic", Direction "out" if this node
	// dialled and "in" if it was dialled. Empty if not connected.
	Addr      string `json:"addr,omitempty"`
	Transport string `json:"transport,omitempty"`
	Direction string `json:"direction,omitempty"`
	// Relay is the member that the connection goes through, empty if it is direct. Transport is "relay" then, and Addr
	// the relay's. Limited tells that the relay bounds how much, or how long, it carries.
	Relay   crdt.NodeID `json:"relay,omitempty"`
	Limited bool        `json:"limited,omitempty"`
	// Since is when the span began; zero if not connected.
	Since time.Time `json:"since,omitzero"`
	// LastSeen is when the last span ended, now if connected, zero if there was none.
	LastSeen time.Time `json:"last_seen,omitzero"`
	// Expiry is when the member's certificate ends.
	Expiry time.Time `json:"expiry"`
}

// MarshalJSON adds the round trip in milliseconds, as rtt_ms.
func (p PeerStatus) MarshalJSON() ([]byte, error) {
	type plain PeerStatus
	return json.Marshal(struct {
		plain
		RTTms float64 `json:"rtt_ms"`
	}{plain(p), float64(p.RTT) / float64(time.Millisecond)})
}

// Peers are all known members but this one, connected or not, sorted by peer id.
func (h *Host) Peers() []PeerStatus {
	ids := h.members.ids()
	all := make([]PeerStatus, 0, len(ids))
	for _, id := range ids {
		if m, ok := h.members.get(id); ok {
			all = append(all, h.peerStatus(id, m))
		}
	}
	return all
}

// Member is what this node knows of a member of the fabric, whether it was ever connected or only heard of.
type Member struct {
	ID         crdt.NodeID
	Name, Tier string
	// LastSeen is when the last span ended, now if connected, zero if there was none.
	LastSeen  time.Time
	Connected bool
	// Retired is whether its certificate has ended. This version has no other way to end a membership.
	Retired bool
}

// Members are all known members but this one, sorted by id.
func (h *Host) Members() []Member {
	ids, now := h.members.ids(), h.cfg.Now()
	all := make([]Member, 0, len(ids))
	for _, id := range ids {
		m, ok := h.members.get(id)
		if !ok {
			continue
		}
		k := Member{ID: nodeID(id), Name: m.cert.Name, Tier: m.cert.Tier, LastSeen: m.lastSeen, Retired: !now.Before(m.cert.Expiry)}
		if h.spans.connected(id) {
			k.Connected, k.LastSeen = true, now
		}
		all = append(all, k)
	}
	return all
}

func (h *Host) peerStatus(id peer.ID, m member) PeerStatus {
	p := PeerStatus{
		ID: nodeID(id), Name: m.cert.Name, Tier: m.cert.Tier,
		LastSeen: m.lastSeen, Expiry: m.cert.Expiry, Addrs: []string{},
	}
	for _, a := range m.contact.addrs {
		p.Addrs = append(p.Addrs, a.String())
	}
	if l, since, ok := h.spans.current(id); ok {
		p.Connected, p.Since, p.LastSeen = true, since, h.cfg.Now()
		p.RTT = time.Duration(l.control.rtt.Load())
		p.Addr = l.conn.RemoteMultiaddr().String()
		p.Transport = transportOf(l.conn.RemoteMultiaddr())
		if relay := through(l.conn.RemoteMultiaddr()); relay != "" {
			p.Relay, p.Transport, p.Limited = nodeID(relay), "relay", l.limited()
		}
		p.Direction = "in"
		if l.outbound {
			p.Direction = "out"
		}
	}
	return p
}

// Addrs are the multiaddrs under which others can dial this node now, each with /p2p/ and its id.
func (h *Host) Addrs() []string {
	full, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.id, Addrs: h.allAddrs()})
	if err != nil {
		return nil
	}
	texts := make([]string, len(full))
	for i, a := range full {
		texts[i] = a.String()
	}
	return texts
}

// Bandwidth is what this host has moved since Open.
func (h *Host) Bandwidth() Bandwidth {
	b := h.traffic.bandwidth()
	b.QUIC = h.quic.bytes()
	for _, c := range h.net.Conns() {
		if q := quicConn(c); q != nil {
			stats := q.ConnectionStats()
			b.QUIC.In += int64(stats.BytesReceived)
			b.QUIC.Out += int64(stats.BytesSent)
		}
	}
	return b
}
