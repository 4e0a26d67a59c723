package p2p

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// Frames of the control stream: the proof's stream, kept open for as long as the connection lives. Kinds
// that a later version adds are skipped.
const (
	frameMembers byte = 16 // entries of the member table, see members.go
	frameGoodbye byte = 17 // one byte: why. The last frame
	framePing    byte = 18 // 8 bytes, to be sent back
	framePong    byte = 19
)

const (
	controlFrameMax = 64 << 10
	// controlQueue is how many frames may wait for a slow peer. When it is full a frame is dropped: a ping
	// is missed, or a piece of news about a member comes by way of another peer, or with the next connection.
	controlQueue        = 16
	controlWriteTimeout = 10 * time.Second
	goodbyeTimeout      = 750 * time.Millisecond
)

// farewell is why a peer ends its connections; it tells the other side when to try again.
type farewell byte

const (
	leaving   farewell = 1 // the process ends; it may be back at once
	goOffline farewell = 2 // off line on purpose; trying again soon costs a metered link and gains nothing
)

// control is the control stream of a proven connection.
type control struct {
	l       *link
	s       network.Stream
	out     chan []byte
	bye     chan farewell
	flushed chan struct{} // closed when the writer has ended
	rtt     atomic.Int64  // nanoseconds, smoothed
	pinged  atomic.Int64  // when the outstanding ping left, in nanoseconds since the link began; 0: none
	nonce   atomic.Uint64
	heard   atomic.Int64 // when the last frame came, in nanoseconds since the link began
}

func newControl(l *link, s network.Stream, rtt time.Duration) *control {
	c := &control{
		l: l, s: s,
		out:     make(chan []byte, controlQueue),
		bye:     make(chan farewell, 1), // one goodbye is enough; a second is dropped
		flushed: make(chan struct{}),
	}
	c.rtt.Store(int64(rtt))
	return c
}

// run reads until the stream ends; then the writer ends too.
func (c *control) run() {
	done := make(chan struct{})
	defer func() { <-c.flushed }()
	defer close(done)
	if !c.l.h.goes.run(func() { c.write(done) }) {
		close(c.flushed)
		return
	}
	defer c.s.Reset()
	for {
		kind, payload, err := readFrame(c.s, controlFrameMax)
		if err != nil {
			c.l.h.onCut(c.l, err)
			return
		}
		c.heard.Store(int64(time.Since(c.l.since)))
		if !c.handle(kind, payload) {
			return
		}
	}
}

// handle acts on one frame; false ends the connection.
func (c *control) handle(kind byte, payload []byte) bool {
	switch kind {
	case frameMembers:
		if err := c.l.h.members.receive(payload, c.l); err != nil {
			c.l.h.log.Warn("p2p: a member sent a bad member list; connection closed", "peer", c.l.peer, "err", err)
			return false
		}
	case frameGoodbye:
		c.l.h.onGoodbye(c.l, payload)
		return false
	case frameAbout, frameDialMe, frameDialled, frameSeek:
		if err := c.l.h.onAsked(c.l, kind, payload); err != nil {
			c.l.h.log.Warn("p2p: a member sent bad control frame; connection closed", "peer", c.l.peer, "err", err)
			return false
		}
	case framePing:
		if len(payload) == 8 {
			c.send(appendFrame(nil, framePong, payload))
		}
	case framePong:
		c.onPong(payload)
	}
	return true
}

// send queues a frame; false if the queue is full.
func (c *control) send(frame []byte) bool {
	select {
	case c.out <- frame:
		return true
	default:
		return false
	}
}

// goodbye has the writer send what is queued, then the reason, then end. The caller waits on flushed for as
// long as it cares.
func (c *control) goodbye(why farewell) {
	select {
	case c.bye <- why:
	default:
	}
}

func (c *control) write(done <-chan struct{}) {
	defer close(c.flushed)
	timer := time.NewTimer(c.pingDelay())
	defer timer.Stop()
	for {
		select {
		case frame := <-c.out:
			if !c.put(frame) {
				return
			}
		case why := <-c.bye:
			c.drain()
			c.put(appendFrame(nil, frameGoodbye, []byte{byte(why)}))
			c.s.CloseWrite()
			return
		case <-timer.C:
			timer.Reset(c.pingDelay())
			if !c.put(c.pingFrame()) {
				return
			}
		case <-done:
			return
		}
	}
}

func (c *control) drain() {
	for {
		select {
		case frame := <-c.out:
			c.put(frame)
		default:
			return
		}
	}
}

// put writes one frame. A peer that does not take it in time is cut off.
func (c *control) put(frame []byte) bool {
	c.s.SetWriteDeadline(time.Now().Add(controlWriteTimeout))
	if _, err := c.s.Write(frame); err != nil {
		c.l.conn.Close()
		return false
	}
	return true
}

// pingDelay is jittered by ± 10 %, so that a fabric's pings do not fall together.
func (c *control) pingDelay() time.Duration {
	interval := c.l.h.cfg.PingInterval
	return interval + time.Duration((mathrand.Float64()-0.5)*0.2*float64(interval))
}

func (c *control) pingFrame() []byte {
	var nonce [8]byte
	rand.Read(nonce[:])
	c.nonce.Store(binary.BigEndian.Uint64(nonce[:]))
	c.pinged.Store(int64(time.Since(c.l.since)))
	return appendFrame(nil, framePing, nonce[:])
}

func (c *control) onPong(payload []byte) {
	sent := c.pinged.Swap(0)
	if sent == 0 || len(payload) != 8 || binary.BigEndian.Uint64(payload) != c.nonce.Load() {
		return
	}
	sample := int64(time.Since(c.l.since)) - sent
	old := c.rtt.Load()
	c.rtt.Store(old + (sample-old)/4)
}
