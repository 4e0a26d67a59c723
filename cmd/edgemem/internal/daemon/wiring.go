package daemon

import (
	"errors"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/p2p"
	"github.com/edgemem/edgemem/persist"
)

// acquainted tells the fabric of the members that the host remembers from before this process.
type acquainted struct{ *p2p.Host }

// Met gives every known member, and when it was connected last; zero if it never was.
func (h acquainted) Met(fn func(id crdt.NodeID, name, tier string, last time.Time)) {
	for _, p := range h.Peers() {
		fn(p.ID, p.Name, p.Tier, p.LastSeen)
	}
}

// remembering tells the fabric of the earlier starts that the store remembers.
type remembering struct{ *persist.Store }

// Load reads the durable image. An error tells the fabric which record cannot be read, so that it can write it anew.
func (s remembering) Load(fn func(key, value []byte) error) error {
	err := s.Store.Load(fn)
	var damage *persist.DamageError
	if errors.As(err, &damage) && len(damage.Key) > 0 {
		return damagedRecord{err, damage.Key}
	}
	return err
}

type damagedRecord struct {
	error
	key []byte
}

func (d damagedRecord) Unwrap() error { return d.error }

// DamagedKey is the key of the record that cannot be read.
func (d damagedRecord) DamagedKey() []byte { return d.key }

// PastNonces gives the nonce of every start.
func (s remembering) PastNonces() ([]crdt.Nonce, error) {
	past, err := s.Incarnations()
	nonces := make([]crdt.Nonce, len(past))
	for i := range past {
		nonces[i] = past[i].Nonce
	}
	return nonces, err
}
