package p2p

import (
	"net"
	"time"

	libp2pyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
)

// A dead link is one whose other end vanished without a word: a pulled cable, a crashed kernel, a translator that
// forgot. It must be noticed soon, because a span that looks alive is a peer that nobody tries to reach another way;
// and asking costs traffic on every idle link. So the cheapest asks: on TCP the kernel, whose probe is an empty
// segment; on QUIC libp2p, which pings after 15 s of silence. Nobody asks while data flows.
const (
	// silenceMax is how long the other end of a TCP connection may be silent although it was asked, five times by then;
	// silenceQUIC is the same of QUIC, which repeats its ping as fast as the round trip allows. It is noticed within two
	// rounds of maintain.
	silenceMax  = 22 * time.Second
	silenceQUIC = 20 * time.Second

	// Of TCP: the first probe after so long, then one more every probeEvery.
	probeAfter = 12 * time.Second
	probeEvery = 2 * time.Second

	// muxPingEvery is how often yamux asks on top of that. It finds a process that stands still in a kernel that
	// does not, which is rare and not urgent.
	muxPingEvery = 2 * time.Minute

	// probeWait is how long a peer has for the answer to probe. Not a connection that is slow, but one that leads
	// nowhere, is to end by it.
	probeWait = 5 * time.Second
)

// muxer is yamux as libp2p sets it up, but for how often it pings.
func muxer() *libp2pyamux.Transport {
	t := *libp2pyamux.DefaultTransport
	t.KeepAliveInterval, t.MeasureRTTInterval = muxPingEvery, muxPingEvery
	return &t
}

// keepAlive sets a TCP connection up to be probed; anything else is left alone.
func keepAlive(c net.Conn) {
	tcp, ok := c.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	})
	if !ok {
		return
	}
	// Where the platform cannot, libp2p's slower default holds.
	tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: probeAfter, Interval: probeEvery, Count: int((silenceMax - probeAfter) / probeEvery),
	})
	limitSilence(c, silenceMax)
}

// hush is what is known of the silence of a QUIC connection.
type hush struct {
	received uint64
	since    time.Time
}

// dropSilent closes the QUIC connections that have received nothing for silenceQUIC. Left to itself QUIC waits for 30 s.
func (h *Host) dropSilent(now time.Time) {
	for _, l := range h.links.all() {
		q := quicConn(l.conn)
		if q == nil {
			continue
		}
		if received := q.ConnectionStats().BytesReceived; received != l.hush.received || l.hush.since.IsZero() {
			l.hush = hush{received, now}
		} else if now.Sub(l.hush.since) >= silenceQUIC {
			h.log.Info("p2p: a peer is silent; connection closed", "peer", l.peer, "for", now.Sub(l.hush.since).Round(time.Second))
			l.conn.Close()
		}
	}
}

// probe asks every peer for a sign of life and closes the connections that give none within probeWait.
func (h *Host) probe() {
	for _, l := range h.links.all() {
		if l.is(proven) {
			h.goes.run(func() { l.control.probe(h.ctx.Done()) })
		}
	}
}

// probe asks the peer of one connection.
func (c *control) probe(stop <-chan struct{}) {
	asked := time.Since(c.l.since)
	c.send(c.pingFrame())
	timer := time.NewTimer(probeWait)
	defer timer.Stop()
	select {
	case <-c.l.ended:
	case <-stop:
	case <-timer.C:
		if c.heard.Load() < int64(asked) {
			c.l.h.log.Info("p2p: a peer does not answer after the network changed; connection closed", "peer", c.l.peer)
			c.l.conn.Close()
		}
	}
}
