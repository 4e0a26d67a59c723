package p2p

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// What a node cannot see of itself, its neighbours tell it, over the control stream, so only members are asked and
// only members answer. libp2p's identify and AutoNAT do the same with whoever connects; AutoNAT moreover dials back
// under a key that is no member's, which the door would turn away.
//
//	about    to every neighbour, once: what I serve as, and the address that I see you at
//	dial me  at these addresses, none but such with the address that you see me at
//	dialled  these answered, and it was you who did
//
// A public address that a neighbour could dial makes this node reachable; until there is one, relays do.
const (
	frameAbout   byte = 20 // flags, then the multiaddr that the receiver is seen at, empty if it is behind a relay
	frameDialMe  byte = 21 // a count, then as many multiaddrs, each with its length before it
	frameDialled byte = 22 // as frameDialMe
)

// Flags of about.
const (
	aboutRelays    byte = 1 // the sender is a relay
	aboutDirectory byte = 2 // the sender takes part in the directory
)

const (
	multiaddrMax = 128
	dialMeMax    = 4 // addresses in one request: two transports, and the port that a translator chose
	// dialMeEvery is how often one neighbour may ask; what it asks before is not answered.
	dialMeEvery = 10 * time.Second
	// dialMeAtOnce is how many neighbours are served at once; a further one is not answered.
	dialMeAtOnce   = 4
	dialBackTime   = 5 * time.Second
	observedMax    = 8         // of neighbours; when full, the oldest goes
	confirmedFor   = time.Hour // then somebody is asked again
	confirmedAddrs = 4
)

// reachability is what neighbours have told us about our addresses.
type reachability struct {
	h  *Host
	mu sync.Mutex // a leaf
	// seen are the addresses of our end of direct connections, as the other end sees them, oldest first.
	seen []observation
	// confirmed are public addresses under which we were dialled, and when.
	confirmed map[string]confirmation
	asked     map[peer.ID][]ma.Multiaddr
}

type observation struct {
	by   peer.ID
	addr ma.Multiaddr
}

type confirmation struct {
	addr ma.Multiaddr
	when time.Time
}

func newReachability(h *Host) *reachability {
	return &reachability{h: h, confirmed: map[string]confirmation{}, asked: map[peer.ID][]ma.Multiaddr{}}
}

// public tells whether this node is known to be dialled from everywhere.
func (r *reachability) public() bool { return len(r.external()) > 0 }

// external are the confirmed addresses, sorted. They need not be on an interface of ours: a router may forward a port.
func (r *reachability) external() (addrs []ma.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.confirmed {
		addrs = append(addrs, c.addr)
	}
	slices.SortFunc(addrs, func(a, b ma.Multiaddr) int { return a.Compare(b) })
	return addrs
}

// mapped are the addresses that translators gave our QUIC socket: what others have to send to for a hole to open.
func (r *reachability) mapped() (addrs []ma.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.seen {
		if transportOf(o.addr) == "quic" && !manet.IsIPLoopback(o.addr) {
			addrs = append(addrs, o.addr)
		}
	}
	return ma.Unique(addrs)
}

// moved forgets everything: on another network all of it is wrong.
func (r *reachability) moved() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
	clear(r.confirmed)
}

// saw notes how a neighbour sees us.
func (r *reachability) saw(by peer.ID, addr ma.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = slices.DeleteFunc(r.seen, func(o observation) bool { return o.by == by })
	if len(r.seen) >= observedMax {
		r.seen = r.seen[1:]
	}
	r.seen = append(r.seen, observation{by, addr})
}

// aboutFrame is what a neighbour is told first.
func (h *Host) aboutFrame(l *link) []byte {
	flags := byte(0)
	if h.cfg.Relay.on() {
		flags |= aboutRelays
	}
	if h.directory != nil {
		flags |= aboutDirectory
	}
	payload := []byte{flags}
	if remote := l.conn.RemoteMultiaddr(); !isCircuit(remote) {
		payload = append(payload, remote.Bytes()...)
	}
	return appendFrame(nil, frameAbout, payload)
}

// onAbout takes in what a neighbour says first.
func (h *Host) onAbout(l *link, payload []byte) error {
	if len(payload) == 0 {
		return errTruncated
	}
	l.relays.Store(payload[0]&aboutRelays != 0)
	if payload[0]&aboutDirectory != 0 {
		l.serves.Store(true)
		h.meet(l)
	}
	defer h.reserve.kick()
	if len(payload) == 1 {
		return nil
	}
	addr, err := readMultiaddr(payload[1:])
	if err != nil {
		return err
	}
	h.reachable.saw(l.peer, addr)
	h.punchIfPossible()
	if ask := h.reachable.candidates(l.peer, addr, time.Now()); len(ask) > 0 {
		l.control.send(appendFrame(nil, frameDialMe, encodeAddrs(ask)))
	}
	return nil
}

// onAsked acts on what neighbours ask and answer. An error means that no honest node can have sent it.
func (h *Host) onAsked(l *link, kind byte, payload []byte) error {
	switch kind {
	case frameDialMe:
		return h.onDialMe(l, payload)
	case frameDialled:
		return h.onDialled(l, payload)
	case frameSeek:
		return h.onSeek(l, payload)
	}
	return h.onAbout(l, payload)
}

// readMultiaddr accepts addresses of ours, and no other that a multiaddr can be.
func readMultiaddr(b []byte) (ma.Multiaddr, error) {
	if len(b) > multiaddrMax {
		return nil, errTooLong
	}
	a, err := ma.NewMultiaddrBytes(b)
	if err != nil {
		return nil, err
	}
	if transportOf(a) == "" {
		return nil, fmt.Errorf("%v: neither TCP nor QUIC", a)
	}
	return a, nil
}

func encodeAddrs(addrs []ma.Multiaddr) []byte {
	b := binary.AppendUvarint(nil, uint64(len(addrs)))
	for _, a := range addrs {
		b = appendBytes(b, a.Bytes())
	}
	return b
}

func decodeAddrs(payload []byte) (addrs []ma.Multiaddr, err error) {
	d := decoder{rest: payload}
	for range d.count(dialMeMax) {
		raw := d.bytes(multiaddrMax)
		if d.err != nil {
			break
		}
		a, err := readMultiaddr(raw)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	return addrs, d.done()
}

// candidates are the addresses that a neighbour is asked to dial: the public one that it sees us at, with the ports
// that we listen on and the one that it sees. None if that has been confirmed lately.
func (r *reachability) candidates(by peer.ID, seen ma.Multiaddr, now time.Time) (ask []ma.Multiaddr) {
	if !r.h.isPublic(seen) {
		return nil
	}
	for _, a := range r.h.net.ListenAddresses() {
		if c := withIPOf(seen, a); c != nil {
			ask = append(ask, c)
		}
	}
	if transportOf(seen) == "quic" {
		ask = append(ask, seen)
	}
	ask = ma.Unique(ask)
	ask = ask[:min(len(ask), dialMeMax)]
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(ask, func(a ma.Multiaddr) bool { return now.Sub(r.confirmed[a.String()].when) < confirmedFor }) {
		return nil
	}
	r.asked[by] = ask
	return ask
}

// withIPOf is listen with the IP address of seen, nil if they are of different families or listen is no address of
// ours that others can dial.
func withIPOf(seen, listen ma.Multiaddr) ma.Multiaddr {
	if transportOf(listen) == "" || seen[0].Protocol().Code != listen[0].Protocol().Code || manet.IsIPLoopback(listen) {
		return nil
	}
	return append(ma.Multiaddr{seen[0]}, listen[1:]...)
}

// onDialled takes in which of the addresses a neighbour could dial.
func (h *Host) onDialled(l *link, payload []byte) error {
	addrs, err := decodeAddrs(payload)
	if err != nil {
		return err
	}
	if h.reachable.confirm(l.peer, addrs, time.Now()) {
		h.log.Info("p2p: reachable from outside", "addrs", h.reachable.external(), "says", l.cert.Name)
		h.tellContact()
		h.reserve.kick()
	}
	return nil
}

// confirm notes addresses that a neighbour dialled, if it was asked to; false if that is not news.
func (r *reachability) confirm(by peer.ID, addrs []ma.Multiaddr, now time.Time) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked[by]
	delete(r.asked, by)
	for _, a := range addrs {
		_, known := r.confirmed[a.String()]
		if !slices.ContainsFunc(asked, a.Equal) || !known && len(r.confirmed) >= confirmedAddrs {
			continue
		}
		r.confirmed[a.String()] = confirmation{a, now}
		news = news || !known
	}
	return news
}

// onDialMe serves a neighbour that asks whether it can be dialled.
func (h *Host) onDialMe(l *link, payload []byte) error {
	addrs, err := decodeAddrs(payload)
	if err != nil {
		return err
	}
	now := time.Since(l.since)
	if l.dialMe != 0 && now-l.dialMe < dialMeEvery {
		return nil
	}
	l.dialMe = now
	select {
	case h.dialBacks <- struct{}{}:
	default:
		return nil
	}
	if !h.goes.run(func() { h.dialBack(l, addrs); <-h.dialBacks }) {
		<-h.dialBacks
	}
	return nil
}

// dialBack dials the neighbour where it asked to be dialled, but nobody else: only its own IP address.
func (h *Host) dialBack(l *link, addrs []ma.Multiaddr) {
	ctx, cancel := context.WithTimeout(h.ctx, dialBackTime)
	defer cancel()
	var wg sync.WaitGroup
	ok := make([]bool, len(addrs))
	for i, a := range addrs {
		if ip, err := manet.ToIP(a); err != nil || ip.String() != l.ip || isCircuit(l.conn.RemoteMultiaddr()) {
			continue
		}
		wg.Go(func() { ok[i] = h.net.tryDial(ctx, a, l.peer) == nil })
	}
	wg.Wait()
	var answered []ma.Multiaddr
	for i, a := range addrs {
		if ok[i] {
			answered = append(answered, a)
		}
	}
	l.control.send(appendFrame(nil, frameDialled, encodeAddrs(answered)))
}

// tryDial makes a connection to a peer at one address, which proves that it is the peer, and closes it. It comes from
// a port that the peer has never sent to: a translator that lets it in lets in everyone.
func (n *fabricNet) tryDial(ctx context.Context, a ma.Multiaddr, p peer.ID) error {
	t := n.tcp
	if transportOf(a) == "quic" {
		q, done, err := n.freshQUIC()
		if err != nil {
			return err
		}
		defer done()
		t = q
	}
	c, err := t.Dial(ctx, a, p)
	if err != nil {
		return err
	}
	return c.Close()
}

// directAddrs are the addresses under which others may dial this node without a relay.
func (h *Host) directAddrs() []ma.Multiaddr {
	all := ma.Unique(append(h.reachable.external(), h.net.dialable()...))
	return all[:min(len(all), addrsMax)]
}

// allAddrs are the addresses that this node signs: direct ones, and through relays.
func (h *Host) allAddrs() []ma.Multiaddr {
	relayed, direct := h.reserve.addrs(), h.directAddrs()
	return append(direct[:min(len(direct), addrsMax-len(relayed))], relayed...)
}

// isPublic tells the addresses that mean the same everywhere.
func (h *Host) isPublic(a ma.Multiaddr) bool {
	if f := h.cfg.public; f != nil {
		return f(a)
	}
	return manet.IsPublicAddr(a)
}

// tellContact signs our addresses and tells them, if they have changed.
func (h *Host) tellContact() {
	if h.refreshContact() {
		h.members.spread(h.id, h.member.cert, h.ownContact())
	}
}
