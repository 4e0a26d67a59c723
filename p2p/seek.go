package p2p

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// A node does not keep all that is known of all members up to date, nor is it told all of it. What it lacks it asks
// its neighbours for, over the control stream: certain members, which it cannot reach at the addresses that it has;
// or, where a neighbour's first list was only a part, the rest of it, page by page. Neighbours answer with the members'
// own signed records (frameMembers), from their tables, or, servers, from the directory (directory.go).
const frameSeek byte = 23 // a kind, then ids or a cursor

const (
	seekIDs   byte = 0 // a count, then as many peer ids, each with its length before it
	seekAfter byte = 1 // a peer id: members whose ids come after it are wanted
)

const (
	seekMax      = 16              // ids in one frame, and ids that wait to be sought: a further one waits for its next failure
	seekEvery    = 2 * time.Second // how often one neighbour may ask; what it asks before is not answered
	seekAsk      = 3               // neighbours that are asked for the same ids
	seekFailures = 2               // dials in vain after which a member is sought, and again after as many as it took so far
	// lookupsAtOnce is how many questions of neighbours the directory looks up at once; a further one is not.
	lookupsAtOnce = 4
	lookupTime    = 20 * time.Second
)

// seeker gathers whom the keeper cannot reach until maintain asks for them.
type seeker struct {
	h       *Host
	mu      sync.Mutex // a leaf
	pending []peer.ID
	pages   paging
	lookups chan struct{} // one token for each question that the directory looks up
}

func newSeeker(h *Host) *seeker { return &seeker{h: h, lookups: make(chan struct{}, lookupsAtOnce)} }

// want notes a member that cannot be reached.
func (s *seeker) want(id peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) < seekMax && !slices.Contains(s.pending, id) {
		s.pending = append(s.pending, id)
	}
}

func (s *seeker) take() (ids []peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, s.pending = s.pending, nil
	return ids
}

// ask sends what has gathered to a few neighbours, and looks it up itself if it can.
func (s *seeker) ask() {
	ids := slices.DeleteFunc(s.take(), s.h.spans.connected)
	if len(ids) == 0 {
		return
	}
	s.lookUp(ids, func(peer.ID) {})
	links := s.h.spans.links()
	rand.Shuffle(len(links), func(i, j int) { links[i], links[j] = links[j], links[i] })
	slices.SortStableFunc(links, func(a, b *link) int { return serversFirst(a) - serversFirst(b) })
	frame := appendFrame(nil, frameSeek, encodeSeek(ids))
	for _, l := range links[:min(len(links), seekAsk)] {
		l.control.send(frame)
	}
}

func serversFirst(l *link) int {
	if isServer(l.cert.Tier) {
		return 0
	}
	return 1
}

func encodeSeek(ids []peer.ID) []byte {
	b := binary.AppendUvarint([]byte{seekIDs}, uint64(len(ids)))
	for _, id := range ids {
		b = appendString(b, string(id))
	}
	return b
}

// paging is the reading of one neighbour's table from its beginning to its end.
type paging struct {
	of    *link // nil: none under way
	after peer.ID
	asked time.Time // when the page after was asked for; zero: not yet
	ended time.Time // of the last one
}

const (
	// pagesRest is how long after a table was read the next is: in between, news come by themselves.
	pagesRest = 10 * time.Minute
	// pageWait is how long a page may take; none comes after the last one.
	pageWait = 4 * time.Second
)

// turned takes in that a list came. It begins to read a neighbour's table when that told us only a part of it and we
// want it all, as servers do; a device knows enough with one list. True if the list was a page of one that is being read:
// pages are in order, other lists are not.
func (s *seeker) turned(l *link, ids []peer.ID, partial bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.pages
	switch {
	case p.of == l && !p.asked.IsZero() && len(ids) > 1 && ids[0] > p.after && slices.IsSorted(ids):
		p.after, p.asked = ids[len(ids)-1], time.Time{}
		return true
	case p.of == nil && partial && s.h.cfg.Tier != "device" && time.Since(p.ended) >= pagesRest:
		*p = paging{of: l}
	}
	return false
}

// turn asks for the next page. Maintain calls it, so that a large table comes gently; a page that does not come ends it.
func (s *seeker) turn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.pages
	switch {
	case p.of == nil:
	case p.of.isOver(), !p.asked.IsZero() && time.Since(p.asked) >= pageWait:
		*p = paging{ended: time.Now()}
	case p.asked.IsZero() && p.of.control.send(appendFrame(nil, frameSeek, append([]byte{seekAfter}, p.after...))):
		p.asked = time.Now()
	}
}

// onSeek answers a neighbour. An error means that no honest node can have asked so.
func (h *Host) onSeek(l *link, payload []byte) error {
	d := decoder{rest: payload}
	kind := d.byte()
	if d.err != nil {
		return d.err
	}
	now := time.Since(l.since)
	if l.sought != 0 && now-l.sought < h.cfg.seekEvery {
		return nil
	}
	l.sought = now
	switch kind {
	case seekIDs:
		return h.seeker.answer(l, &d)
	case seekAfter:
		return h.answerAfter(l, peer.ID(d.rest))
	}
	return nil // from a later version
}

// answer tells what is in the table, and then what the directory has of the rest.
func (s *seeker) answer(l *link, d *decoder) error {
	var known, unknown []peer.ID
	for range d.count(seekMax) {
		id := peer.ID(d.bytes(peerIDBytesMax))
		if m, ok := s.h.members.get(id); ok && len(m.contact.addrs) > 0 {
			known = append(known, id)
		} else if id.Validate() == nil {
			unknown = append(unknown, id)
		}
	}
	if err := d.done(); err != nil {
		return err
	}
	if frame := s.h.members.frame(known); frame != nil {
		l.control.send(frame)
	}
	s.lookUp(unknown, func(found peer.ID) {
		if frame := s.h.members.frame([]peer.ID{found}); frame != nil {
			l.control.send(frame)
		}
	})
	return nil
}

// lookUp asks the directory for members, if this node takes part in it; what is found is learnt, then told.
func (s *seeker) lookUp(ids []peer.ID, tell func(peer.ID)) {
	if !s.h.directory.inUse() || len(ids) == 0 {
		return
	}
	select {
	case s.lookups <- struct{}{}:
	default:
		return
	}
	started := s.h.goes.run(func() {
		defer func() { <-s.lookups }()
		ctx, cancel := context.WithTimeout(s.h.ctx, lookupTime)
		defer cancel()
		for _, id := range ids {
			if err := s.h.directory.find(ctx, id); err != nil {
				s.h.log.Debug("p2p: not in the directory", "member", id, "err", err)
				continue
			}
			tell(id)
		}
	})
	if !started {
		<-s.lookups
	}
}

// answerAfter tells the next page of the table.
func (h *Host) answerAfter(l *link, last peer.ID) error {
	if len(last) > peerIDBytesMax {
		return fmt.Errorf("cursor: %w", errTooLong)
	}
	ids := h.members.ids()
	at, found := slices.BinarySearch(ids, last)
	if found {
		at++
	}
	if frame := h.members.frame(ids[at:min(len(ids), at+memberListMax)]); frame != nil {
		l.control.send(frame)
	}
	return nil
}
