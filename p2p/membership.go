package p2p

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Files in the folder p2p of the data directory.
const (
	folderName     = "p2p"
	nodeKeyFile    = "node.key"      // the identity: Ed25519, never changes
	authorityFile  = "authority.key" // only at the fabric's first node
	membershipFile = "membership"    // own certificate, and where the issuer was found
	ticketsFile    = "tickets.json"  // outstanding invitations, hashes only; only at the authority
	offlineFile    = "offline"       // there while the node is off line on purpose
	peersFolder    = "peers"         // libp2p's peerstore, Badger
)

const (
	membershipMagic    = "edgemem membership 1\n"
	membershipCheckLen = 8
	membershipMax      = 1 << 16
)

// membership is what makes this node a member, and what its directory says about that.
type membership struct {
	dir       string
	id        peer.ID
	key       ed25519.PrivateKey
	authority ed25519.PrivateKey // nil unless this node holds it
	cert      *Certificate       // nil before the node is a member
	issuer    peer.AddrInfo      // who gave the certificate: the first one to dial after a restart; empty at the authority
}

// loadMembership reads keys and certificate. It makes a node key in an empty directory and nothing else:
// founding and joining are later steps.
func loadMembership(dir string) (*membership, error) {
	m := &membership{dir: dir}
	if err := makeDurable(dir); err != nil {
		return nil, fmt.Errorf("p2p: data directory: %w", err)
	}
	data, isMember, err := readIfThere(m.path(membershipFile))
	if err != nil {
		return nil, fmt.Errorf("p2p: read membership: %w", err)
	}
	if err := m.loadKeys(isMember); err != nil {
		return nil, err
	}
	if isMember {
		if err := m.decode(data); err != nil {
			return nil, fmt.Errorf("%w: %s: %w; restore it from a backup, or move it away and join again with a new ticket",
				ErrDamaged, m.path(membershipFile), err)
		}
	}
	return m, m.checkAuthority()
}

func (m *membership) path(file string) string { return filepath.Join(m.dir, file) }

// loadKeys refuses to make a new identity where an old one must have been: that would orphan everything
// this node ever wrote.
func (m *membership) loadKeys(isMember bool) (err error) {
	if m.key, _, err = loadOrCreateKey(m.path(nodeKeyFile), !isMember); err != nil {
		return err
	}
	if m.key == nil {
		return fmt.Errorf("%w: %s is missing, but this directory belongs to a member; restore the key from a backup, or move the folder away to start as a new node",
			ErrDamaged, m.path(nodeKeyFile))
	}
	if m.authority, _, err = loadOrCreateKey(m.path(authorityFile), false); err != nil {
		return err
	}
	key, err := libp2pKey(m.key)
	if err != nil {
		return err
	}
	m.id, err = peer.IDFromPrivateKey(key)
	return err
}

// checkAuthority catches a directory put together from two.
func (m *membership) checkAuthority() error {
	if m.cert == nil || m.authority == nil || m.cert.Authority.Equal(m.authority.Public()) {
		return nil
	}
	return fmt.Errorf("%w: %s is the authority of fabric %v, but this node is a member of %v; one of the two files came from elsewhere",
		ErrOtherFabric, m.path(authorityFile), fabricOf(m.authorityKey()), m.fabric())
}

func (m *membership) authorityKey() ed25519.PublicKey {
	return m.authority.Public().(ed25519.PublicKey)
}

func (m *membership) fabric() FabricID { return m.cert.Fabric() }

// found makes this node the first of a new fabric: it creates the authority, and with it the node's own
// certificate. A crash between the two leaves an authority without a member, which the next start completes.
func (m *membership) found(name, tier string, now time.Time) (err error) {
	if m.authority == nil {
		if m.authority, _, err = loadOrCreateKey(m.path(authorityFile), true); err != nil {
			return fmt.Errorf("p2p: create the authority: %w", err)
		}
	}
	if m.cert, err = issueCertificate(m.authority, m.id, name, tier, now); err != nil {
		return err
	}
	return m.store()
}

func (m *membership) store() error {
	if err := writeDurable(m.path(membershipFile), m.encode()); err != nil {
		return fmt.Errorf("p2p: store membership: %w", err)
	}
	return nil
}

func (m *membership) encode() []byte {
	b := appendBytes([]byte(membershipMagic), m.cert.marshal())
	b = appendString(b, string(m.issuer.ID))
	b = appendAddrs(b, m.issuer.Addrs)
	sum := sha256.Sum256(b)
	return append(b, sum[:membershipCheckLen]...)
}

func (m *membership) decode(data []byte) error {
	if len(data) > membershipMax || len(data) < len(membershipMagic)+membershipCheckLen {
		return errTruncated
	}
	body, check := data[:len(data)-membershipCheckLen], data[len(data)-membershipCheckLen:]
	if sum := sha256.Sum256(body); !slices.Equal(sum[:membershipCheckLen], check) {
		return errors.New("checksum does not match")
	}
	d := decoder{rest: body}
	if magic := d.take(len(membershipMagic)); string(magic) != membershipMagic {
		return errVersion
	}
	cert, err := parseCertificate(d.bytes(certificateBytesMax))
	if err != nil {
		return err
	}
	m.issuer.ID = peer.ID(d.bytes(peerIDBytesMax))
	m.issuer.Addrs = d.addrs(ticketAddrsMax)
	if err := d.done(); err != nil {
		return err
	}
	m.cert = cert
	return m.checkOwn()
}

// checkOwn: the certificate must be ours and intact. That it may have expired is found, and said, later.
func (m *membership) checkOwn() error {
	return m.cert.verify(m.fabric(), m.id, m.cert.NotBefore)
}

// adopt makes the node a member with a certificate that an issuer gave.
func (m *membership) adopt(cert *Certificate, issuer peer.ID, addrs []ma.Multiaddr) error {
	m.cert = cert
	m.issuer = peer.AddrInfo{ID: issuer, Addrs: addrs}
	return m.store()
}

// compatible checks a ticket against what the directory says.
func (m *membership) compatible(t *ticket) error {
	if t == nil {
		return nil
	}
	switch {
	case m.cert != nil && m.fabric() != t.fabric:
		return m.otherFabric(m.fabric(), t.fabric)
	case m.cert == nil && m.authority != nil:
		return m.otherFabric(fabricOf(m.authorityKey()), t.fabric)
	}
	return nil
}

func (m *membership) otherFabric(ours, theirs FabricID) error {
	return fmt.Errorf("%w: the ticket is for fabric %v, but %s belongs to fabric %v; start the node on an empty data directory to join the other one",
		ErrOtherFabric, theirs, m.dir, ours)
}
