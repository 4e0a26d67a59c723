package p2p

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
)

// The proof of membership, protocol /edgemem/member/1, is the first thing on every connection. Who dialled
// speaks first:
//
//	dialler → listener   hello{certificate, addresses}
//	listener → dialler   hello{certificate, addresses}     or   refusal{reason}
//	dialler → listener   agreed                            or   refusal{reason}
//
// One connection is enough. Two nodes that dial each other at the same moment would make two; then the node
// with the smaller id refuses the other's, as listener, and both keep its own. Without such a glare a
// listener accepts: a peer that dials again has lost the connection before, and the new one takes its place.
//
// The listener lets the dialler's streams in from its own hello on, and opens streams to the dialler once
// it has "agreed": so neither ever sends to a side that has not accepted it yet. A certificate needs no
// challenge: libp2p has bound the connection to the peer id that the certificate names.
const (
	memberProtocol protocol.ID = "/edgemem/member/1"

	proofTimeout  = 5 * time.Second // from connection to verdict
	proofFrameMax = 4 << 10
	recordMax     = 2 << 10
	helloVersion  = 1
)

// Frames of the proof.
const (
	frameHello   byte = 1
	frameAgreed  byte = 2
	frameRefusal byte = 3
)

// refusal is a reason as it crosses the wire: one byte, so that a peer cannot put words in our log.
type refusal byte

const (
	refusedMalformed refusal = iota + 1
	refusedForeign
	refusedBorrowed
	refusedForged
	refusedExpired
	refusedDuplicate
)

var refusalTexts = map[refusal]string{
	refusedMalformed: "it could not read our certificate",
	refusedForeign:   "our certificate is of another fabric",
	refusedBorrowed:  "our certificate is of another peer",
	refusedForged:    "the signature of our certificate does not match",
	refusedExpired:   "our certificate has expired by its clock",
	refusedDuplicate: "it is dialling us at the same moment, and its connection is the one to keep",
}

var (
	errRefused   = errors.New("refused by the other side")
	errDuplicate = errors.New("the connection in the other direction is kept")
)

func (r refusal) err() error {
	if r == refusedDuplicate {
		return errDuplicate
	}
	text, ok := refusalTexts[r]
	if !ok {
		text = "for a reason this version does not know"
	}
	return fmt.Errorf("%w: %s", errRefused, text)
}

func refusalFor(err error) refusal {
	switch {
	case errors.Is(err, errForeign):
		return refusedForeign
	case errors.Is(err, errBorrowed):
		return refusedBorrowed
	case errors.Is(err, errForged):
		return refusedForged
	case errors.Is(err, errExpired):
		return refusedExpired
	case errors.Is(err, errDuplicate):
		return refusedDuplicate
	}
	return refusedMalformed
}

// contact is how a member can be found: addresses, signed by the member itself, so that others can pass
// them on and nobody can invent them. The newest sequence number wins.
type contact struct {
	envelope []byte
	id       peer.ID
	seq      uint64
	addrs    []ma.Multiaddr
}

// parseContact reads a signed record and checks that it is of the peer id; nil data is an empty contact.
func parseContact(data []byte, id peer.ID) (contact, error) {
	if len(data) == 0 {
		return contact{id: id}, nil
	}
	if len(data) > recordMax {
		return contact{}, errTooLong
	}
	_, rec, err := record.ConsumeEnvelope(data, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return contact{}, fmt.Errorf("address record: %w", err)
	}
	r, ok := rec.(*peer.PeerRecord)
	if !ok || r.PeerID != id {
		return contact{}, fmt.Errorf("address record: of another peer")
	}
	addrs := slices.DeleteFunc(r.Addrs, func(a ma.Multiaddr) bool { return !dialledAs(a) })
	return contact{envelope: slices.Clone(data), id: id, seq: r.Seq, addrs: addrs[:min(len(addrs), addrsMax)]}, nil
}

// hello is what each side shows.
type hello struct {
	cert    *Certificate
	contact contact
}

// encodeHello: version, certificate, record. A later version may append fields; ours skips what follows.
func encodeHello(cert, envelope []byte) []byte {
	return appendBytes(appendBytes([]byte{helloVersion}, cert), envelope)
}

func decodeHello(data []byte, from peer.ID) (h hello, err error) {
	d := decoder{rest: data}
	if v := d.byte(); d.err == nil && v < helloVersion {
		return h, errVersion
	}
	cert, envelope := d.bytes(certificateBytesMax), d.bytes(recordMax)
	if d.err != nil {
		return h, d.err
	}
	if h.cert, err = parseCertificate(cert); err != nil {
		return h, err
	}
	h.contact, err = parseContact(envelope, from)
	return h, err
}

// prover carries what one side needs for a proof.
type prover struct {
	fabric FabricID
	hello  []byte           // ours, encoded
	now    func() time.Time // by which expiry is judged
	// accept is called as soon as the other side's proof is good, before it hears so. The listener can still
	// refuse there.
	accept func(hello) error
}

// dial speaks first. rtt is the time from our hello to the answer.
func (p *prover) dial(s io.ReadWriter, remote peer.ID) (rtt time.Duration, err error) {
	start := time.Now()
	if err := writeFrame(s, frameHello, p.hello); err != nil {
		return 0, err
	}
	h, err := p.receive(s, remote)
	if err != nil {
		return 0, err
	}
	rtt = time.Since(start)
	if err := p.accept(h); err != nil {
		return 0, err
	}
	return rtt, writeFrame(s, frameAgreed, nil)
}

// listen answers. rtt is the time from our hello to the agreement.
func (p *prover) listen(s io.ReadWriter, remote peer.ID) (rtt time.Duration, err error) {
	h, err := p.receive(s, remote)
	if err != nil {
		return 0, err
	}
	if err := p.accept(h); err != nil {
		return 0, refuse(s, err)
	}
	start := time.Now()
	if err := writeFrame(s, frameHello, p.hello); err != nil {
		return 0, err
	}
	kind, payload, err := readFrame(s, proofFrameMax)
	if err != nil {
		return 0, err
	}
	if kind != frameAgreed {
		return 0, unexpected(kind, payload)
	}
	return time.Since(start), nil
}

// receive reads the other side's hello and judges it; a bad one is answered with the reason.
func (p *prover) receive(s io.ReadWriter, remote peer.ID) (h hello, err error) {
	kind, payload, err := readFrame(s, proofFrameMax)
	if err != nil {
		return h, err
	}
	if kind != frameHello {
		return h, unexpected(kind, payload)
	}
	if h, err = decodeHello(payload, remote); err == nil {
		err = h.cert.verify(p.fabric, remote, p.now())
	}
	if err != nil {
		return h, refuse(s, err)
	}
	return h, nil
}

// refuse tells the other side why, and returns why.
func refuse(s io.Writer, why error) error {
	return errors.Join(why, writeFrame(s, frameRefusal, []byte{byte(refusalFor(why))}))
}

func unexpected(kind byte, payload []byte) error {
	if kind == frameRefusal && len(payload) == 1 {
		return refusal(payload[0]).err()
	}
	return fmt.Errorf("unexpected frame %d", kind)
}
