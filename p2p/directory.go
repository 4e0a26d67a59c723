package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// The directory is a Kademlia table that the servers of a fabric keep together: under the peer id of a member, its
// certificate and the addresses that it signed itself. Whoever knows one server finds every member that is in it,
// though nobody's own table may have them all. Only members hear of it: its protocol carries the fabric's short id and
// runs behind the door. Devices neither keep it nor ask it themselves; they ask their neighbours (seek.go).
//
// It costs nothing while nobody asks: nothing is refreshed by the clock but each member's record, twice a day; and in a
// fabric so small that one list tells all of it, it is not used at all.
const (
	directoryBucket = 8 // k of Kademlia: a record is on so many servers
	directoryAlpha  = 3 // asked at once
	directoryBeta   = 2 // answers that end a lookup

	// directoryAge is how long a record is kept that nobody puts again; putEvery how often it is; putNews how soon
	// after new addresses, at the earliest.
	directoryAge = 36 * time.Hour
	putEvery     = 12 * time.Hour
	putLook      = 30 * time.Second
	putTime      = 20 * time.Second
	// putMax is how many records one look puts; the others wait for the next.
	putMax = 4
)

// directory is this node's part in it.
type directory struct {
	h     *Host
	dht   *dht.IpfsDHT
	worth int                   // members known from which on it is used: memberListMax, but in tests
	put   map[peer.ID]putRecord // what was put, and when; of the loop alone, bounded by the neighbours
}

type putRecord struct {
	seq  uint64
	when time.Time
}

const memberNamespace = "member"

func directoryKey(id peer.ID) string { return "/" + memberNamespace + "/" + string(id) }

func (h *Host) directoryProtocol() protocol.ID {
	return protocol.ID("/edgemem/" + h.fabric.short() + "/kad/1.0.0")
}

// startDirectory begins to take part.
func (h *Host) startDirectory() error {
	if !h.cfg.servesDirectory() {
		return nil
	}
	table, err := dht.New(h.ctx, directoryHost{h.services},
		dht.ProtocolPrefix(protocol.ID("/edgemem/"+h.fabric.short())),
		dht.Mode(dht.ModeServer),
		dht.DisableAutoRefresh(),
		dht.DisableProviders(), dht.ProviderStore(noProviders{}),
		dht.Validator(record.NamespacedValidator{memberNamespace: memberRecords{h}}),
		dht.BucketSize(h.cfg.bucket), dht.Concurrency(directoryAlpha), dht.Resiliency(directoryBeta),
		dht.MaxRecordAge(directoryAge),
	)
	if err != nil {
		return fmt.Errorf("p2p: start the directory: %w", err)
	}
	h.directory = &directory{h: h, dht: table, worth: memberListMax, put: map[peer.ID]putRecord{}}
	return nil
}

// directoryHost is the host as the table sees it: it does not list whom it is connected to. The table hears of its
// peers one by one (meet). Left to list them itself, it would, without the refreshes that it does by default, put them in
// each other's places without end as soon as there are more than a bucket takes, and ask each of them every time.
type directoryHost struct{ *memberHost }

// Network implements host.Host.
func (d directoryHost) Network() network.Network { return unlistedNet{d.net} }

type unlistedNet struct{ *memberNet }

// Peers implements network.Network.
func (unlistedNet) Peers() []peer.ID { return nil }

// meetAll tells the table of all neighbours that take part, if it has lost everybody.
func (d *directory) meetAll() {
	if d.dht.RoutingTable().Size() > 0 {
		return
	}
	for _, l := range d.h.spans.links() {
		if l.serves.Load() {
			d.h.meet(l)
		}
	}
}

// meet tells the directory that a neighbour takes part in it.
func (h *Host) meet(l *link) {
	if h.directory == nil {
		return
	}
	if err := h.book.AddProtocols(l.peer, h.directoryProtocol()); err != nil {
		h.log.Warn("p2p: cannot note that a neighbour serves the directory", "peer", l.peer, "err", err)
		return
	}
	h.services.arrived.Emit(event.EvtPeerIdentificationCompleted{Peer: l.peer, Conn: l.conn})
}

// inUse tells whether there is anything to be had from it. It may be called on nil.
func (d *directory) inUse() bool { return d != nil && d.h.members.count() >= d.worth }

// find looks a member up and learns what it signed.
func (d *directory) find(ctx context.Context, id peer.ID) error {
	value, err := d.dht.GetValue(ctx, directoryKey(id))
	if err != nil {
		return err
	}
	cert, c, err := memberRecords{d.h}.decode(directoryKey(id), value)
	if err != nil {
		return err
	}
	d.h.members.learn(cert, c, false)
	return nil
}

// loop puts this node's record into the directory, and those of the members that are reachable through it, when they
// are new, and every so often: whoever kept them may be gone.
func (d *directory) loop() {
	ticker := time.NewTicker(putLook)
	defer ticker.Stop()
	for {
		select {
		case <-d.h.ctx.Done():
			return
		case <-ticker.C:
			d.meetAll()
			d.putDue(time.Now())
		}
	}
}

func (d *directory) putDue(now time.Time) (puts int) {
	if !d.inUse() || d.dht.RoutingTable().Size() == 0 {
		return 0
	}
	for id, m := range d.charges() {
		if was := d.put[id]; puts == putMax || was.seq == m.contact.seq && now.Sub(was.when) < putEvery {
			continue
		}
		puts++
		if err := d.putRecord(id, m); err != nil {
			d.h.log.Debug("p2p: not put into the directory", "member", id, "err", err)
			continue
		}
		d.put[id] = putRecord{m.contact.seq, now}
	}
	return puts
}

func (d *directory) putRecord(id peer.ID, m member) error {
	ctx, cancel := context.WithTimeout(d.h.ctx, putTime)
	defer cancel()
	return d.dht.PutValue(ctx, directoryKey(id), appendEntry(nil, m.cert.marshal(), m.contact.envelope))
}

// charges are the members whose records this node puts: itself, and whom it relays for. What was put for others is
// forgotten with them.
func (d *directory) charges() map[peer.ID]member {
	all := map[peer.ID]member{d.h.id: {cert: d.h.member.cert, contact: d.h.ownContact()}}
	mine := circuitAddr(d.h.id)
	for _, l := range d.h.spans.links() {
		if m, ok := d.h.members.get(l.peer); ok && slices.ContainsFunc(m.contact.addrs, mine.Equal) {
			all[l.peer] = m
		}
	}
	for id := range d.put {
		if _, ok := all[id]; !ok {
			delete(d.put, id)
		}
	}
	return all
}

// memberRecords judges what others put into the directory and answer from it: every record is signed, certificate and
// addresses, so nobody can put what the member has not said.
type memberRecords struct{ h *Host }

var _ record.Validator = memberRecords{}

var errNoMember = errors.New("not the key of a member")

// decode reads and checks one record.
func (r memberRecords) decode(key string, value []byte) (*Certificate, contact, error) {
	id, ok := strings.CutPrefix(key, "/"+memberNamespace+"/")
	if !ok || len(id) > peerIDBytesMax {
		return nil, contact{}, errNoMember
	}
	d := decoder{rest: value}
	rawCert, envelope := d.bytes(certificateBytesMax), d.bytes(recordMax)
	if err := d.done(); err != nil {
		return nil, contact{}, err
	}
	cert, err := parseCertificate(rawCert)
	if err != nil {
		return nil, contact{}, err
	}
	if err := cert.verify(r.h.fabric, peer.ID(id), r.h.cfg.Now()); err != nil {
		return nil, contact{}, err
	}
	c, err := parseContact(envelope, peer.ID(id))
	return cert, c, err
}

// Validate implements record.Validator.
func (r memberRecords) Validate(key string, value []byte) error {
	_, _, err := r.decode(key, value)
	return err
}

// Select implements record.Validator: the newest wins.
func (r memberRecords) Select(key string, values [][]byte) (int, error) {
	best, newest := -1, uint64(0)
	for i, v := range values {
		if _, c, err := r.decode(key, v); err == nil && (best < 0 || c.seq > newest) {
			best, newest = i, c.seq
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("%w, or no record of it", errNoMember)
	}
	return best, nil
}

// noProviders stands for the half of Kademlia that this fabric does not use.
type noProviders struct{}

func (noProviders) AddProvider(context.Context, []byte, peer.AddrInfo) error { return nil }
func (noProviders) GetProviders(context.Context, []byte) ([]peer.AddrInfo, error) {
	return nil, nil
}
func (noProviders) Close() error { return nil }
