package p2p

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// membersMax bounds the table. When it is full, the member unseen for longest makes room.
	membersMax = 4096
	// memberListMax is how many members are told to a new peer; of more, a random choice, so that what one
	// neighbour leaves out another tells.
	memberListMax = 128
	// listBytesMax leaves the frame room for one entry more.
	listBytesMax = controlFrameMax - certificateBytesMax - recordMax - 16
)

// member is what is known of one member of the fabric.
type member struct {
	cert     *Certificate
	contact  contact
	lastSeen time.Time // end of the last span; zero if never connected
	quota    time.Time // until when telling others of it is used up; see worthTelling
	later    bool      // there is news that others have not been told
}

// members is the table of known members: every certificate and every address record in it carries the
// signature of its author, so it does not matter from whom it came. News spread by flooding: who learns
// something new tells its neighbours, once.
type members struct {
	h  *Host
	mu sync.Mutex // a leaf: nothing else is locked while it is held
	m  map[peer.ID]*member
}

func newMembers(h *Host) *members { return &members{h: h, m: map[peer.ID]*member{}} }

// load fills the table from the book.
func (ms *members) load() error {
	stored, err := ms.h.book.loadMembers(membersMax)
	if err != nil {
		return err
	}
	now := ms.h.cfg.Now()
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, s := range stored {
		id := s.cert.Peer
		if id == ms.h.id || s.cert.verify(ms.h.fabric, id, now) != nil {
			continue
		}
		ms.m[id] = &member{cert: s.cert, contact: s.contact, lastSeen: s.lastSeen}
		ms.h.keeper.watch(id, s.lastSeen)
	}
	return nil
}

// learn takes in what a certificate and an address record, both checked, say about a member. direct means
// that the member itself said so: then it holds even against a record with a higher number, which a clock
// set back would leave behind for ever.
func (ms *members) learn(cert *Certificate, c contact, direct bool) {
	if ms.take(cert, c, direct) && ms.worthTelling(cert.Peer) {
		ms.tell(cert.Peer)
	}
}

// take is learn without passing on; true if it is worth passing on.
func (ms *members) take(cert *Certificate, c contact, direct bool) (news bool) {
	if cert.Peer == ms.h.id || !ms.merge(cert, c, direct) {
		return false
	}
	ms.h.keeper.watch(cert.Peer, time.Time{})
	ms.h.keeper.moved(cert.Peer)
	return true
}

// merge updates the table and the book; true if others should be told.
func (ms *members) merge(cert *Certificate, c contact, direct bool) (news bool) {
	ms.mu.Lock()
	m, known := ms.m[cert.Peer]
	if !known {
		ms.makeRoom()
		m = &member{cert: cert, contact: contact{id: cert.Peer}}
		ms.m[cert.Peer] = m
	}
	newCert := known && cert.Serial != m.cert.Serial && (direct || cert.NotBefore.After(m.cert.NotBefore))
	if newCert {
		m.cert = cert
	}
	newContact := len(c.envelope) > 0 && (c.seq > m.contact.seq || direct && c.seq != m.contact.seq)
	moved := newContact && !sameAddrs(c.addrs, m.contact.addrs)
	if newContact {
		m.contact = c
	}
	saved := storedMember{m.cert, m.contact, m.lastSeen}
	ms.mu.Unlock()
	if !known || newCert || newContact {
		ms.save(saved)
	}
	return !known || newCert || moved
}

// tellEvery is how often news of one member are passed on, after the first tellBurst: a member that starts tells its
// own addresses, then those through two relays. Of one that changes its addresses more often, in good faith or bad,
// others hear the newest state when maintain comes round.
const (
	tellEvery = 5 * time.Second
	tellBurst = 3
)

// worthTelling limits a flood.
func (ms *members) worthTelling(id peer.ID) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m, ok := ms.m[id]
	return ok && m.mayTell(time.Now())
}

// mayTell takes one of the quota, or notes that there is something to tell.
func (m *member) mayTell(now time.Time) bool {
	if m.later = m.quota.Sub(now) > (tellBurst-1)*tellEvery; m.later {
		return false
	}
	if m.quota.Before(now) {
		m.quota = now
	}
	m.quota = m.quota.Add(tellEvery)
	return true
}

// tellLate passes on what came too often.
func (ms *members) tellLate(now time.Time) {
	for _, id := range ms.late(now) {
		ms.tell(id)
	}
}

func (ms *members) late(now time.Time) (ids []peer.ID) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for id, m := range ms.m {
		if m.later && m.mayTell(now) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (ms *members) save(s storedMember) {
	if err := ms.h.book.saveMember(s); err != nil {
		ms.h.log.Warn("p2p: cannot store what is known of a member", "peer", s.cert.Peer, "err", err)
	}
}

func sameAddrs(a, b []ma.Multiaddr) bool {
	return slices.EqualFunc(a, b, ma.Multiaddr.Equal)
}

// makeRoom is called with mu held.
func (ms *members) makeRoom() {
	if len(ms.m) < membersMax {
		return
	}
	var oldest peer.ID
	for id, m := range ms.m {
		if oldest == "" || m.lastSeen.Before(ms.m[oldest].lastSeen) {
			oldest = id
		}
	}
	delete(ms.m, oldest)
}

// seen notes the end of a span.
func (ms *members) seen(id peer.ID) {
	ms.mu.Lock()
	m, ok := ms.m[id]
	if !ok {
		ms.mu.Unlock()
		return
	}
	m.lastSeen = ms.h.cfg.Now()
	saved := storedMember{m.cert, m.contact, m.lastSeen}
	ms.mu.Unlock()
	ms.save(saved)
}

// dropExpired forgets members whose certificates are over and returns them.
func (ms *members) dropExpired(now time.Time) (dropped []peer.ID) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for id, m := range ms.m {
		if !now.Before(m.cert.Expiry) {
			delete(ms.m, id)
			dropped = append(dropped, id)
		}
	}
	return dropped
}

func (ms *members) get(id peer.ID) (member, bool) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if m, ok := ms.m[id]; ok {
		return *m, true
	}
	return member{}, false
}

func (ms *members) ids() []peer.ID {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return slices.Sorted(maps.Keys(ms.m))
}

func (ms *members) count() int {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return len(ms.m)
}

// describe names a peer for people: its name, if it is known, and its id.
func (ms *members) describe(id peer.ID) string {
	if m, ok := ms.get(id); ok {
		return fmt.Sprintf("%s (%v)", m.cert.Name, id)
	}
	return id.String()
}

// tell passes news of one member on to every neighbour but the member itself.
func (ms *members) tell(about peer.ID) {
	m, ok := ms.get(about)
	if !ok {
		return
	}
	ms.spread(about, m.cert, m.contact)
}

// spread sends one entry to every neighbour but the one it is about.
func (ms *members) spread(about peer.ID, cert *Certificate, c contact) {
	frame := appendFrame(nil, frameMembers, appendEntry([]byte{1}, cert.marshal(), c.envelope))
	for _, l := range ms.h.spans.links() {
		if l.peer != about {
			l.control.send(frame)
		}
	}
}

// list is the frame that a new neighbour gets; nil if there is nothing to tell.
func (ms *members) list(to peer.ID) []byte {
	ids := slices.DeleteFunc(ms.ids(), func(id peer.ID) bool { return id == to })
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ms.frame(ids)
}

// frame tells members in the order given, as many as one frame takes; nil if there is nothing to tell.
func (ms *members) frame(ids []peer.ID) []byte {
	var entries []byte
	n := 0
	for _, id := range ids {
		if n == memberListMax || len(entries) > listBytesMax {
			break
		}
		m, ok := ms.get(id)
		if !ok {
			continue
		}
		entries = appendEntry(entries, m.cert.marshal(), m.contact.envelope)
		n++
	}
	if n == 0 {
		return nil
	}
	return appendFrame(nil, frameMembers, append(binary.AppendUvarint(nil, uint64(n)), entries...))
}

func appendEntry(b, cert, envelope []byte) []byte {
	return appendBytes(appendBytes(b, cert), envelope)
}

// receive takes in a list from a neighbour. What cannot have been written by an honest node is an error;
// what has merely expired is skipped. News are passed on, all that one list brings in one frame; what was asked for
// page by page is not, because whoever told it has long told others.
func (ms *members) receive(payload []byte, l *link) error {
	d := decoder{rest: payload}
	count := d.count(memberListMax)
	var all, news []peer.ID
	for range count {
		cert, envelope := d.bytes(certificateBytesMax), d.bytes(recordMax)
		if d.err != nil {
			break
		}
		id, isNew, err := ms.receiveEntry(cert, envelope, l.peer)
		if err != nil {
			return err
		}
		if isNew {
			news = append(news, id)
		}
		all = append(all, id)
	}
	if err := d.done(); err != nil {
		return err
	}
	partial := count == memberListMax || len(payload) > listBytesMax
	if !ms.h.seeker.turned(l, all, partial) {
		ms.pass(news, l.peer)
	}
	return nil
}

// receiveEntry learns one member; news if others should be told.
func (ms *members) receiveEntry(rawCert, envelope []byte, from peer.ID) (id peer.ID, news bool, err error) {
	cert, err := parseCertificate(rawCert)
	if err != nil {
		return "", false, err
	}
	if ms.holds(cert, rawCert, envelope) {
		return cert.Peer, false, nil // nothing new: no signature needs checking
	}
	now := ms.h.cfg.Now()
	if !now.Before(cert.Expiry) {
		return cert.Peer, false, nil
	}
	if err := cert.verify(ms.h.fabric, cert.Peer, now); err != nil {
		return "", false, err
	}
	c, err := parseContact(envelope, cert.Peer)
	if err != nil {
		return "", false, err
	}
	return cert.Peer, ms.take(cert, c, cert.Peer == from), nil
}

// pass tells neighbours, but the one that told us, of several members at once.
func (ms *members) pass(news []peer.ID, from peer.ID) {
	news = slices.DeleteFunc(news, func(id peer.ID) bool { return !ms.worthTelling(id) })
	frame := ms.frame(news)
	if frame == nil {
		return
	}
	for _, l := range ms.h.spans.links() {
		if l.peer != from && !slices.Equal(news, []peer.ID{l.peer}) {
			l.control.send(frame)
		}
	}
}

func (ms *members) holds(cert *Certificate, rawCert, envelope []byte) bool {
	m, ok := ms.get(cert.Peer)
	return ok && bytes.Equal(m.cert.marshal(), rawCert) &&
		(len(envelope) == 0 || bytes.Equal(m.contact.envelope, envelope))
}
