package p2p

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// pushStall is how long a peer may take to accept one batch. One that takes longer has its stream ended; it is told
	// to pull, and a feeder is replaced.
	pushStall = 10 * time.Second

	// After a stream has ended the one that dialled opens the next: soon if frames flowed, later and later with a peer
	// that does not speak the protocol.
	reopenMin = time.Second
	reopenMax = 5 * time.Minute
)

// pushLink is the push side of one proven connection. It has one stream at a time.
type pushLink struct {
	d       *direct
	l       *link
	limited bool    // by a relay: gossipsub does not use it
	relay   peer.ID // that one, as far as it can be told
	rank    int     // of the peer's tier
	tail    tail
	draw    uint64 // of this node for that peer: chance, but always the same
	q       *pushQueue
	inbound chan network.Stream // what the other side opened; room for one, the newer replaces the older

	// Guarded by d.mu.
	up    bool // between arrive and leave
	heard bool // their first announcement on this stream is there: they can be sent frames
	news  news // their last one
	fed   bool // by us
	said  []byte
}

func newPushLink(d *direct, l *link) *pushLink {
	p := &pushLink{
		d: d, l: l, limited: l.limited(), rank: rankOf(l.cert.Tier), tail: tailOf(l.peer), draw: drawOf(l.h.id, l.peer),
		q: newPushQueue(d.metrics.missed.WithLabelValues("out")), inbound: make(chan network.Stream, 1),
	}
	if p.limited && l.conn != nil {
		p.relay = through(l.conn.RemoteMultiaddr())
	}
	return p
}

func drawOf(us, them peer.ID) uint64 {
	sum := sha256.Sum256([]byte(us + them))
	return binary.BigEndian.Uint64(sum[:])
}

// limited tells whether a relay bounds what the connection may carry.
func (l *link) limited() bool {
	if f := l.h.cfg.limited; f != nil {
		return f(l.conn)
	}
	return l.conn.Stat().Limited
}

// run keeps a stream open for as long as the connection lives.
func (p *pushLink) run() {
	backoff := reopenMin
	for {
		s, err := p.stream()
		if err != nil {
			return
		}
		err = p.session(s)
		if p.l.over() {
			return
		}
		if p.d.hear(p, nil) {
			backoff = reopenMin
		}
		p.d.h.log.Debug("p2p: push stream ended", "peer", p.l.peer, "err", err, "again", backoff)
		if p.l.outbound && !p.rest(backoff) {
			return
		}
		backoff = min(2*backoff, reopenMax)
	}
}

// over tells whether the connection has ended, or the host is closing.
func (l *link) over() bool {
	select {
	case <-l.ended:
		return true
	case <-l.h.ctx.Done():
		return true
	default:
		return false
	}
}

// stream is the next one: opened if we dialled, awaited if we were dialled.
func (p *pushLink) stream() (network.Stream, error) {
	if p.l.outbound {
		return openStream(p.l.h.ctx, p.l.conn, pushProtocol)
	}
	select {
	case s := <-p.inbound:
		return s, nil
	case <-p.l.ended:
	case <-p.l.h.ctx.Done():
	}
	return nil, ErrNotConnected
}

// rest waits about as long as said; false if the connection ends meanwhile.
func (p *pushLink) rest(d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.l.ended:
	case <-p.l.h.ctx.Done():
	}
	return false
}

// take gives the link a stream that the other side opened, in place of an earlier one.
func (p *pushLink) take(s network.Stream) {
	for {
		select {
		case p.inbound <- s:
			return
		default:
		}
		select {
		case older := <-p.inbound:
			older.Reset()
		default:
		}
	}
}

// session runs one stream until either side ends it.
func (p *pushLink) session(s network.Stream) error {
	p.d.begin(p)
	done := make(chan struct{})
	var writer sync.WaitGroup
	var writeErr error
	writer.Go(func() {
		if writeErr = p.write(s, done); writeErr != nil {
			s.Reset()
		}
	})
	err := p.read(s)
	s.Reset()
	close(done)
	writer.Wait()
	dropped := p.q.stop()
	p.d.metrics.dropped.WithLabelValues(dropStream).Add(float64(dropped))
	return errors.Join(err, writeErr)
}

// write sends what waits until the stream ends.
func (p *pushLink) write(s network.Stream, done <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		b, wait := p.q.take(nil, time.Now())
		if len(b) > 0 {
			s.SetWriteDeadline(time.Now().Add(pushStall))
			if _, err := s.Write(b); err != nil {
				return stalled(err)
			}
			continue
		}
		timer.Stop()
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-p.q.wake:
		case <-timer.C:
		case <-done:
			return nil
		}
	}
}

func stalled(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("it took nothing for %v: %w", pushStall, err)
	}
	return err
}

// read acts on what comes until the stream ends. A member that sends what no version of this program does loses its
// connection.
func (p *pushLink) read(s network.Stream) error {
	r := bufio.NewReader(s)
	for {
		kind, payload, err := readFrame(r, pushFrameMax)
		if err == nil {
			err = p.d.handle(p, kind, payload)
			if err != nil {
				p.l.h.log.Warn("p2p: a member sent a bad push frame; connection closed", "peer", p.l.peer, "err", err)
			}
		}
		if errors.Is(err, errPush) || errors.Is(err, errTooLong) {
			p.l.conn.Close()
		}
		if err != nil {
			return err
		}
	}
}

// onPush takes a stream that a peer opened. The peer may do so as soon as it is admitted, before it has arrived here.
func (d *direct) onPush(s network.Stream) error {
	l := d.h.links.of(s.Conn())
	if l == nil || l.outbound {
		return s.Reset()
	}
	p := d.of(l)
	if p == nil {
		return s.Reset()
	}
	p.take(s)
	return nil
}
