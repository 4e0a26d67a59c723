package daemon

import (
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

// PastNonces gives the nonce of every start.
func (s remembering) PastNonces() ([]crdt.Nonce, error) {
	past, err := s.Incarnations()
	nonces := make([]crdt.Nonce, len(past))
	for i := range past {
		nonces[i] = past[i].Nonce
	}
	return nonces, err
}
