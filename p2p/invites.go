package p2p

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of invitations.
const (
	inviteTTLDefault = 24 * time.Hour
	inviteTTLMax     = 90 * 24 * time.Hour
	inviteUsesMax    = 1000
	invitesMax       = 1024 // outstanding ones; a further Invite is refused until some expire
)

// InviteOptions say how long and how often a ticket may be used.
type InviteOptions struct {
	// TTL is how long the ticket is valid, by the issuer's clock. Default 24 hours, at most 90 days.
	TTL time.Duration
	// Uses is how many nodes may join with it. Default 1, at most 1000. Each use ties the ticket to one
	// peer id, which may redeem it again: its first answer may have been lost.
	Uses int
}

func (o *InviteOptions) validate() error {
	if o.TTL == 0 {
		o.TTL = inviteTTLDefault
	}
	if o.Uses == 0 {
		o.Uses = 1
	}
	if o.TTL < 0 || o.TTL > inviteTTLMax {
		return fmt.Errorf("%w: InviteOptions.TTL: %v is not between 0 and %v", ErrConfig, o.TTL, inviteTTLMax)
	}
	if o.Uses < 0 || o.Uses > inviteUsesMax {
		return fmt.Errorf("%w: InviteOptions.Uses: %d is not between 1 and %d", ErrConfig, o.Uses, inviteUsesMax)
	}
	return nil
}

// invites are the tickets that the authority has given out, by the hash of their secret. Every change is
// durable before it has an effect outside: a ticket printed can be redeemed after a crash, and a ticket
// used up stays used up.
type invites struct {
	path string
	m    *membership
	now  func() time.Time

	mu   sync.Mutex
	open map[string]*invite // key: hash of the secret in hexadecimal
}

type invite struct {
	Expiry   time.Time         `json:"expiry"`
	Uses     int               `json:"uses"`     // how many peers may still join
	Redeemed map[string][]byte `json:"redeemed"` // by peer id: the certificate it was given
}

// loadInvites reads the tickets file. A damaged one is moved aside and its tickets are void: that refuses
// some joins, and cannot let anyone in.
func loadInvites(m *membership, now func() time.Time, log *slog.Logger) (*invites, error) {
	v := &invites{path: m.path(ticketsFile), m: m, now: now, open: map[string]*invite{}}
	data, ok, err := readIfThere(v.path)
	if err != nil {
		return nil, fmt.Errorf("p2p: read tickets: %w", err)
	}
	if !ok {
		return v, nil
	}
	if err := json.Unmarshal(data, &v.open); err != nil {
		log.Warn("p2p: the tickets file is damaged: outstanding tickets are void, invite again", "file", v.path, "err", err)
		v.open = map[string]*invite{}
		return v, os.Rename(v.path, v.path+".damaged")
	}
	if v.open == nil { // the file held "null"
		v.open = map[string]*invite{}
	}
	return v, nil
}

// add records a new ticket's secret and returns it.
func (v *invites) add(o InviteOptions) (secret, time.Time, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dropExpired()
	if len(v.open) >= invitesMax {
		return secret{}, time.Time{}, fmt.Errorf("%w: %d are; wait until some expire", ErrTooManyTickets, invitesMax)
	}
	var s secret
	if _, err := rand.Read(s[:]); err != nil {
		return s, time.Time{}, err
	}
	expiry := v.now().Add(o.TTL).Truncate(time.Second)
	v.open[s.key()] = &invite{Expiry: expiry, Uses: o.Uses, Redeemed: map[string][]byte{}}
	if err := v.store(); err != nil {
		delete(v.open, s.key())
		return secret{}, time.Time{}, err
	}
	return s, expiry, nil
}

func (s secret) key() string {
	h := s.hash()
	return hex.EncodeToString(h[:])
}

func (v *invites) dropExpired() {
	now := v.now()
	for key, i := range v.open {
		// An expired ticket stays for a while so that its holder is told the reason.
		if i == nil || now.After(i.Expiry.Add(inviteTTLDefault)) {
			delete(v.open, key)
		}
	}
}

func (v *invites) store() error {
	data, err := json.MarshalIndent(v.open, "", "\t")
	if err != nil {
		return err
	}
	if err := writeDurable(v.path, data); err != nil {
		return fmt.Errorf("p2p: store tickets: %w", err)
	}
	return nil
}

// redeem gives the peer that showed the secret its certificate. The errors are the sentinels that the
// joining side will see.
func (v *invites) redeem(s secret, id peer.ID, name, tier string) (*Certificate, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i, ok := v.open[s.key()]
	switch {
	case !ok || i == nil:
		return nil, ErrTicketRefused
	case !v.now().Before(i.Expiry):
		return nil, ErrTicketExpired
	}
	if again := i.redeemedBy(id, name, tier); again != nil {
		return again, nil
	}
	if _, known := i.Redeemed[id.String()]; !known && i.Uses < 1 {
		return nil, ErrTicketUsed
	}
	return v.issue(i, id, name, tier)
}

// redeemedBy returns the certificate given before, if it says what is asked for now.
func (i *invite) redeemedBy(id peer.ID, name, tier string) *Certificate {
	data, ok := i.Redeemed[id.String()]
	if !ok {
		return nil
	}
	c, err := parseCertificate(data)
	if err != nil || c.Name != name || c.Tier != tier {
		return nil
	}
	return c
}

func (v *invites) issue(i *invite, id peer.ID, name, tier string) (*Certificate, error) {
	c, err := issueCertificate(v.m.authority, id, name, tier, v.now())
	if err != nil {
		return nil, err
	}
	if i.Redeemed == nil {
		i.Redeemed = map[string][]byte{}
	}
	if _, known := i.Redeemed[id.String()]; !known {
		i.Uses--
	}
	i.Redeemed[id.String()] = c.marshal()
	if err := v.store(); err != nil {
		return nil, err
	}
	return c, nil
}
