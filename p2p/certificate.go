package p2p

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"
)

// FabricID names a fabric: the first 128 bits of a SHA-256 over its authority's public key. To pass for a
// fabric one needs a key with the same hash, a second preimage.
type FabricID [16]byte

// textEncoding is lower-case base32 without padding: safe to copy, to say and to use in a host name.
var textEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String is all of it in the letters and digits of base 32.
func (id FabricID) String() string { return textEncoding.EncodeToString(id[:]) }

// short is what protocol names and service tags carry: 40 bits, enough to keep fabrics on one network apart.
func (id FabricID) short() string { return id.String()[:8] }

func fabricOf(authority ed25519.PublicKey) FabricID {
	sum := sha256.Sum256(append([]byte("edgemem fabric 1\x00"), authority...))
	return FabricID(sum[:len(FabricID{})])
}

// Limits of a certificate. Its parts are small; a peer that sends more is refused before anything is parsed.
const (
	certificateVersion  = 1
	certificateBytesMax = 512
	nameBytesMax        = 63 // as a DNS label: names end up in tables, logs and host names
	peerIDBytesMax      = 64 // an Ed25519 peer id has 38
	certificateDomain   = "edgemem certificate 1\x00"
)

// certificateLifetime is long because a device may be away for years, and because in this version a node
// gets a new certificate only by a new ticket.
const certificateLifetime = 10 * 365 * 24 * time.Hour

// Tiers in the order from the consumer inwards.
var tiers = []string{"device", "edge", "regional", "cloud"}

// Certificate is what makes a peer a member: the authority's signature under who the peer is. It is not
// secret, and worth nothing to anyone else, because a connection is bound to the peer id in it by libp2p.
type Certificate struct {
	Authority ed25519.PublicKey
	Serial    uint64 // random; names this certificate when it must be revoked
	Peer      peer.ID
	Name      string
	Tier      string
	NotBefore time.Time // when it was issued, in whole seconds. Informative: see verify
	Expiry    time.Time // in whole seconds
	Signature []byte
}

// Fabric is the fabric that the certificate is for.
func (c *Certificate) Fabric() FabricID { return fabricOf(c.Authority) }

// issueCertificate signs a certificate for a peer.
func issueCertificate(key ed25519.PrivateKey, id peer.ID, name, tier string, now time.Time) (*Certificate, error) {
	var serial [8]byte
	if _, err := rand.Read(serial[:]); err != nil {
		return nil, err
	}
	c := &Certificate{
		Authority: key.Public().(ed25519.PublicKey),
		Serial:    binary.BigEndian.Uint64(serial[:]),
		Peer:      id,
		Name:      name,
		Tier:      tier,
		NotBefore: now.Truncate(time.Second),
		Expiry:    now.Add(certificateLifetime).Truncate(time.Second),
	}
	c.Signature = ed25519.Sign(key, c.signed())
	return c, nil
}

// signed is the byte string under the signature.
func (c *Certificate) signed() []byte { return append([]byte(certificateDomain), c.body()...) }

func (c *Certificate) body() []byte {
	b := []byte{certificateVersion}
	b = append(b, c.Authority...)
	b = binary.BigEndian.AppendUint64(b, c.Serial)
	b = binary.AppendUvarint(b, uint64(c.NotBefore.Unix()))
	b = binary.AppendUvarint(b, uint64(c.Expiry.Unix()))
	b = appendString(b, string(c.Peer))
	b = appendString(b, c.Name)
	return append(b, byte(slices.Index(tiers, c.Tier)))
}

// marshal gives the wire form: the body, then 64 bytes of signature. About 180 bytes.
func (c *Certificate) marshal() []byte { return append(c.body(), c.Signature...) }

// parseCertificate reads the wire form and checks its shape, not its signature.
func parseCertificate(data []byte) (*Certificate, error) {
	if len(data) > certificateBytesMax {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, errTooLong)
	}
	d := decoder{rest: slices.Clone(data)} // the certificate outlives the buffer it came in
	if v := d.byte(); d.err == nil && v != certificateVersion {
		return nil, fmt.Errorf("%w: %w %d", ErrCertificate, errVersion, v)
	}
	c := &Certificate{Authority: d.take(ed25519.PublicKeySize)}
	if serial := d.take(8); serial != nil {
		c.Serial = binary.BigEndian.Uint64(serial)
	}
	c.NotBefore, c.Expiry = d.instant(), d.instant()
	c.Peer = peer.ID(d.bytes(peerIDBytesMax))
	c.Name = string(d.bytes(nameBytesMax))
	tier := int(d.byte())
	c.Signature = d.take(ed25519.SignatureSize)
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return c, c.checkShape(tier)
}

func (d *decoder) instant() time.Time {
	sec := d.uvarint()
	if sec > 1<<40 {
		d.fail(errTooLong)
		return time.Time{}
	}
	return time.Unix(int64(sec), 0)
}

func (c *Certificate) checkShape(tier int) error {
	if tier >= len(tiers) {
		return fmt.Errorf("%w: unknown tier %d", ErrCertificate, tier)
	}
	c.Tier = tiers[tier]
	if err := checkName(c.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if _, err := peer.IDFromBytes([]byte(c.Peer)); err != nil {
		return fmt.Errorf("%w: peer id: %w", ErrCertificate, err)
	}
	return nil
}

// checkName accepts what can be shown in a table and typed in a shell: printable UTF-8 without blanks.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("name is empty")
	case len(name) > nameBytesMax:
		return fmt.Errorf("name has %d bytes, at most %d are allowed", len(name), nameBytesMax)
	case !utf8.ValidString(name):
		return fmt.Errorf("name is not valid UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) }):
		return fmt.Errorf("name %q has a blank or a character that cannot be shown", name)
	}
	return nil
}

// verify checks that the certificate makes holder a member of fabric at the instant now.
//
// Only the expiry is enforced. A not-before ahead of our clock says that one of two clocks is wrong: the
// signature cannot have been made before its time, and a device without a battery clock, which thinks that
// it is 1970, must still be able to join its mesh.
func (c *Certificate) verify(fabric FabricID, holder peer.ID, now time.Time) error {
	switch {
	case c.Fabric() != fabric:
		return fmt.Errorf("%w: %w: it is for fabric %v, this is %v", ErrCertificate, errForeign, c.Fabric(), fabric)
	case c.Peer != holder:
		return fmt.Errorf("%w: %w: it is for %v, shown by %v", ErrCertificate, errBorrowed, c.Peer, holder)
	case !ed25519.Verify(c.Authority, c.signed(), c.Signature):
		return fmt.Errorf("%w: %w", ErrCertificate, errForged)
	case !now.Before(c.Expiry):
		return fmt.Errorf("%w: %w on %s", ErrCertificate, errExpired, c.Expiry.UTC().Format(time.RFC3339))
	}
	return nil
}

// Why a certificate does not make its holder a member.
var (
	errForeign  = fmt.Errorf("of another fabric")
	errBorrowed = fmt.Errorf("of another peer")
	errForged   = fmt.Errorf("signature does not match")
	errExpired  = fmt.Errorf("expired")
)
