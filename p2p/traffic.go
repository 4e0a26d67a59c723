package p2p

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
)

// Bytes is an amount of traffic each way.
type Bytes struct {
	In  int64 `json:"in"`
	Out int64 `json:"out"`
}

// ProtocolBytes is the traffic of one protocol.
type ProtocolBytes struct {
	Protocol string `json:"protocol"`
	Bytes
}

// Bandwidth is what this host has moved since it was opened.
type Bandwidth struct {
	// Streams is the payload of all streams, before encryption and multiplexing.
	Streams Bytes `json:"streams"`
	// TCP and QUIC are what went over sockets: streams, multiplexing, encryption, handshakes, keep-alives
	// and, for QUIC, repeats; without the headers of TCP, UDP and IP. Together they are the bytes on the wire.
	TCP  Bytes `json:"tcp"`
	QUIC Bytes `json:"quic"`
	// Protocols splits Streams, sorted by name. "negotiation" is what flowed before a stream's protocol
	// was agreed on.
	Protocols []ProtocolBytes `json:"protocols"`
}

const negotiation = "negotiation"

// traffic counts bytes. It implements metrics.Reporter with plain counters, where libp2p's own has meters
// that a goroutine sweeps every second: totals here are exact at any instant, and an idle host stays idle.
type traffic struct {
	streams, tcp counter

	mu        sync.RWMutex
	protocols map[protocol.ID]*counter // bounded: a stream gets a protocol only if this host speaks it
}

type counter struct{ in, out atomic.Int64 }

func (c *counter) bytes() Bytes { return Bytes{In: c.in.Load(), Out: c.out.Load()} }

func newTraffic() *traffic { return &traffic{protocols: map[protocol.ID]*counter{}} }

func (t *traffic) of(id protocol.ID) *counter {
	if id == "" {
		id = negotiation
	}
	t.mu.RLock()
	c, ok := t.protocols[id]
	t.mu.RUnlock()
	if ok {
		return c
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok = t.protocols[id]; !ok {
		c = new(counter)
		t.protocols[id] = c
	}
	return c
}

func (t *traffic) bandwidth() Bandwidth {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := Bandwidth{Streams: t.streams.bytes(), TCP: t.tcp.bytes()}
	for _, id := range slices.Sorted(maps.Keys(t.protocols)) {
		b.Protocols = append(b.Protocols, ProtocolBytes{string(id), t.protocols[id].bytes()})
	}
	return b
}

var _ metrics.Reporter = (*traffic)(nil)

func (t *traffic) LogSentMessage(n int64) { t.streams.out.Add(n) }
func (t *traffic) LogRecvMessage(n int64) { t.streams.in.Add(n) }

func (t *traffic) LogSentMessageStream(n int64, id protocol.ID, _ peer.ID) { t.of(id).out.Add(n) }
func (t *traffic) LogRecvMessageStream(n int64, id protocol.ID, _ peer.ID) { t.of(id).in.Add(n) }

func (t *traffic) GetBandwidthTotals() metrics.Stats { return stats(t.streams.bytes()) }

func (t *traffic) GetBandwidthForProtocol(id protocol.ID) metrics.Stats {
	return stats(t.of(id).bytes())
}

func (t *traffic) GetBandwidthByProtocol() map[protocol.ID]metrics.Stats {
	by := map[protocol.ID]metrics.Stats{}
	for _, p := range t.bandwidth().Protocols {
		by[protocol.ID(p.Protocol)] = stats(p.Bytes)
	}
	return by
}

func stats(b Bytes) metrics.Stats { return metrics.Stats{TotalIn: b.In, TotalOut: b.Out} }

// Traffic is not split by peer: peer ids are free to make, so a map of them would be a stranger's to fill.

func (t *traffic) GetBandwidthForPeer(peer.ID) metrics.Stats     { return metrics.Stats{} }
func (t *traffic) GetBandwidthByPeer() map[peer.ID]metrics.Stats { return nil }
func (t *traffic) Reset()                                        {}
func (t *traffic) TrimIdle(time.Time)                            {}

// meteredSecurity counts what a security transport moves over its TCP connection: the bytes on the wire. It is also
// the first of ours to see the connection, and sets it up to be probed.
type meteredSecurity struct {
	sec.SecureTransport
	tcp *counter
}

func (m meteredSecurity) SecureInbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	keepAlive(c)
	return m.SecureTransport.SecureInbound(ctx, meteredConn{c, m.tcp}, p)
}

func (m meteredSecurity) SecureOutbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	keepAlive(c)
	return m.SecureTransport.SecureOutbound(ctx, meteredConn{c, m.tcp}, p)
}

type meteredConn struct {
	net.Conn
	tcp *counter
}

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tcp.in.Add(int64(n))
	return n, err
}

func (c meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.tcp.out.Add(int64(n))
	return n, err
}
