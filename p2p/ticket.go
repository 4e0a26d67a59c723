package p2p

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// A ticket is what an operator carries from a member to a new node: one line of lower-case letters and
// digits. It holds a secret; whoever has it can join once.
const (
	ticketPrefix      = "edgemem1"
	ticketVersion     = 1
	ticketCheckLen    = 4
	ticketAddrsMax    = 12
	ticketTextMax     = 2048
	addrBytesMax      = 256
	secretLen         = 20 // 160 bits: not to be guessed, and a whole number of base32 digits
	ticketCheckDomain = "edgemem ticket 1\x00"
)

type secret [secretLen]byte

// hash is what the issuer keeps: a stolen tickets file lets nobody join.
func (s secret) hash() [sha256.Size]byte {
	return sha256.Sum256(append([]byte("edgemem ticket secret 1\x00"), s[:]...))
}

type ticket struct {
	fabric FabricID
	issuer peer.ID
	addrs  []ma.Multiaddr
	secret secret
	expiry time.Time
}

func (t ticket) String() string {
	b := []byte{ticketVersion}
	b = append(b, t.fabric[:]...)
	b = append(b, t.secret[:]...)
	b = binary.AppendUvarint(b, uint64(t.expiry.Unix()))
	b = appendString(b, string(t.issuer))
	b = appendAddrs(b, t.addrs[:min(len(t.addrs), ticketAddrsMax)])
	return ticketPrefix + textEncoding.EncodeToString(append(b, ticketCheck(b)...))
}

func ticketCheck(body []byte) []byte {
	sum := sha256.Sum256(append([]byte(ticketCheckDomain), body...))
	return sum[:ticketCheckLen]
}

// parseTicket reads what String wrote. Blanks around it and upper case do not matter. Every error is
// ErrTicketMalformed and says what to look for.
func parseTicket(text string) (ticket, error) {
	bad := func(why string) (ticket, error) {
		return ticket{}, fmt.Errorf("%w: %s; copy the whole line that 'edgemem invite' printed", ErrTicketMalformed, why)
	}
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) > ticketTextMax {
		return bad("it is too long")
	}
	digits, ok := strings.CutPrefix(text, ticketPrefix)
	if !ok {
		return bad("it does not begin with " + ticketPrefix)
	}
	b, err := textEncoding.DecodeString(digits)
	if err != nil || len(b) < ticketCheckLen || textEncoding.EncodeToString(b) != digits {
		return bad("it has characters that no ticket has, or was cut short")
	}
	body, check := b[:len(b)-ticketCheckLen], b[len(b)-ticketCheckLen:]
	if !bytes.Equal(check, ticketCheck(body)) {
		return bad("its checksum is wrong: a character is missing or mistyped")
	}
	t, err := decodeTicket(body)
	if err != nil {
		return bad(err.Error())
	}
	return t, nil
}

func decodeTicket(body []byte) (t ticket, err error) {
	d := decoder{rest: body}
	if v := d.byte(); d.err == nil && v != ticketVersion {
		return t, fmt.Errorf("%w %d", errVersion, v)
	}
	copy(t.fabric[:], d.take(len(t.fabric)))
	copy(t.secret[:], d.take(len(t.secret)))
	t.expiry = d.instant()
	t.issuer = peer.ID(d.bytes(peerIDBytesMax))
	t.addrs = d.addrs(ticketAddrsMax)
	if err := d.done(); err != nil {
		return t, err
	}
	if _, err := peer.IDFromBytes([]byte(t.issuer)); err != nil {
		return t, fmt.Errorf("issuer: %w", err)
	}
	return t, nil
}

func appendAddrs(b []byte, addrs []ma.Multiaddr) []byte {
	b = binary.AppendUvarint(b, uint64(len(addrs)))
	for _, a := range addrs {
		b = appendBytes(b, a.Bytes())
	}
	return b
}

func (d *decoder) addrs(limit int) []ma.Multiaddr {
	n := d.count(limit)
	addrs := make([]ma.Multiaddr, 0, n)
	for range n {
		a, err := ma.NewMultiaddrBytes(d.bytes(addrBytesMax))
		if d.err != nil {
			return nil
		}
		if err != nil {
			d.fail(fmt.Errorf("address: %w", err))
			return nil
		}
		addrs = append(addrs, a)
	}
	return addrs
}
