package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
)

// onProven begins the use of a proven connection.
func (h *Host) onProven(l *link) {
	h.gate.pardon(l.peer)
	h.log.Debug("p2p: connected", "peer", l.peer, "name", l.cert.Name, "addr", l.conn.RemoteMultiaddr(), "dialled", l.outbound)
	l.control.send(h.aboutFrame(l))
	if list := h.members.list(l.peer); list != nil {
		l.control.send(list)
	}
	h.neighbours.arrive(l)
	h.direct.arrive(l)
	h.keeper.reached(l.peer)
	h.services.up(l)
	h.reserve.kick()
}

// onSpanEnd is called with spans.mu held.
func (h *Host) onSpanEnd(s *span) {
	h.members.seen(s.link.peer)
	h.keeper.ended(s.link.peer, time.Since(s.since))
	h.direct.leave(s.link)
}

// onGoodbye ends the span at once, before the connection has.
func (h *Host) onGoodbye(l *link, payload []byte) {
	if len(payload) > 0 && farewell(payload[0]) == goOffline {
		h.keeper.snooze(l.peer)
	}
	h.spans.drop(l)
}

// onCut: a peer that closed the connection because it has too many is left alone for a while.
func (h *Host) onCut(l *link, err error) {
	var cut *network.ConnError
	if errors.As(err, &cut) && cut.Remote && cut.ErrorCode == network.ConnGarbageCollected {
		h.keeper.snooze(l.peer)
	}
}

// part ends a span at once, says goodbye, and closes the connection when the other side has closed it or
// goodbyeTimeout has passed. The other side must close first: what is still on its way when a connection
// is closed is lost, and the goodbye with it.
func (h *Host) part(why farewell, l *link) {
	h.spans.drop(l)
	l.control.goodbye(why)
	timer := time.NewTimer(goodbyeTimeout)
	defer timer.Stop()
	select {
	case <-l.ended:
	case <-timer.C:
	}
	l.conn.Close()
}

// farewell says goodbye to everyone at once and closes every connection, proven or not.
func (h *Host) farewell(why farewell) {
	var wg sync.WaitGroup
	for _, l := range h.links.all() {
		wg.Go(func() {
			if l.is(proven) {
				h.part(why, l)
			}
			l.conn.Close()
		})
	}
	wg.Wait()
}

func (h *Host) ownContact() contact {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.contact
}

// refreshContact signs our addresses anew if they have changed. The number of the record grows even if the
// clock does not: it follows the last one that was stored.
func (h *Host) refreshContact() (changed bool) {
	addrs := h.allAddrs()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hello.Load() != nil && sameAddrs(addrs, h.contact.addrs) {
		return false
	}
	seq := max(h.contact.seq+1, h.book.contactOf(h.id).seq+1, uint64(max(0, h.cfg.Now().UnixNano())))
	rec := &peer.PeerRecord{PeerID: h.id, Seq: seq, Addrs: addrs}
	envelope, err := h.seal(rec)
	if err != nil {
		h.log.Error("p2p: cannot sign this node's addresses", "err", err)
	}
	h.contact = contact{envelope: envelope, id: h.id, seq: seq, addrs: addrs}
	if err := h.book.saveContact(h.contact); err != nil {
		h.log.Warn("p2p: cannot store this node's addresses", "err", err)
	}
	hello := encodeHello(h.member.cert.marshal(), envelope)
	h.hello.Store(&hello)
	return true
}

func (h *Host) seal(rec *peer.PeerRecord) ([]byte, error) {
	key, err := libp2pKey(h.member.key)
	if err != nil {
		return nil, err
	}
	envelope, err := record.Seal(rec, key)
	if err != nil {
		return nil, err
	}
	return envelope.Marshal()
}

func (h *Host) helloFrame() []byte { return *h.hello.Load() }

// expire ends what an expired certificate has kept open.
func (h *Host) expire(now time.Time) {
	for _, l := range h.links.all() {
		if l.is(proven) && !now.Before(l.cert.Expiry) {
			h.log.Warn("p2p: a member's certificate has expired; connection closed", "peer", l.peer, "name", l.cert.Name)
			l.conn.Close()
		}
	}
	for _, id := range h.members.dropExpired(now) {
		h.keeper.forget(id)
		if err := h.book.forgetMember(id); err != nil {
			h.log.Warn("p2p: cannot forget an expired member", "peer", id, "err", err)
		}
	}
}

// SetOffline takes the node off line, or back on. Off line it says goodbye, closes every connection, and
// neither dials nor accepts nor announces itself; it stays so over restarts, until told otherwise: a metered
// device that restarts must not start to cost. Back on line it dials everyone at once. Setting what is set
// already does nothing.
func (h *Host) SetOffline(ctx context.Context, off bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil || h.offline == off {
		return err
	}
	if err := h.storeOffline(off); err != nil {
		return fmt.Errorf("p2p: store whether the node is off line: %w", err)
	}
	h.offline = off
	if !h.serving {
		return nil
	}
	if !off {
		h.goOnline()
		return nil
	}
	h.gate.set(modeOffline)
	h.stopMDNS()
	h.farewell(goOffline)
	return nil
}

// Offline tells whether the node is off line on purpose.
func (h *Host) Offline() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.offline
}

// goOnline is called with mu held.
func (h *Host) goOnline() {
	h.gate.set(modeOpen)
	h.startMDNS()
	h.keeper.reset()
}

func (h *Host) loadOffline() (bool, error) {
	_, off, err := readIfThere(h.member.path(offlineFile))
	return off, err
}

func (h *Host) storeOffline(off bool) error {
	if off {
		return writeDurable(h.member.path(offlineFile), []byte("off line until 'edgemem online'\n"))
	}
	return removeDurable(h.member.path(offlineFile))
}

// countQUIC keeps the totals of a QUIC connection that has ended.
func (h *Host) countQUIC(c network.Conn) {
	if q := quicConn(c); q != nil {
		stats := q.ConnectionStats()
		h.quic.in.Add(int64(stats.BytesReceived))
		h.quic.out.Add(int64(stats.BytesSent))
	}
}
