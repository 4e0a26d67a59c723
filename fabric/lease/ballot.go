package lease

import (
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Ballot names one attempt to change a lease, or to choose an electorate. N alone orders: of two with one N a majority takes one.
type Ballot struct {
	N  uint64
	By Nonce // random
}

// Nonce is 128 random bits.
type Nonce [16]byte

// Bounds of what is asked for.
const (
	TTLMin    = 100 * time.Millisecond
	TTLMax    = time.Hour
	NameMax   = 512 // bytes
	OwnerMax  = 128 // bytes
	VotersMax = 15
	AskedMax  = 4096 // core members that found an electorate

	BallotJump = 1 << 40 // no ballot is so much beyond what is known: nobody uses the numbers up
)

// Value is what a lease's register holds. The zero Value is that of a lease that nobody ever had.
type Value struct {
	Held  bool
	Token uint64 // of the last holder
	Owner string // what it calls itself
	TTL   time.Duration
}

// Believe is for how long a holder may count on a lease of ttl, from before it asked the voters to accept it: 1/250 less, so that
// clocks that run 1/1000 too fast and too slow do no harm.
func Believe(ttl time.Duration) time.Duration { return ttl - ttl/250 }

// Member is a voter: a node, and what it drew when it joined.
type Member struct {
	Node  crdt.NodeID
	Nonce Nonce
}

// Electorate is who votes in an epoch. The zero Electorate is that of a fabric that has none.
type Electorate struct {
	Root   Nonce // of the first one: of the ballot that founded it
	Epoch  uint64
	Voters []Member // by node
}

// Start is how voters begin an epoch.
type Start struct {
	Floor uint64        // tokens are above it
	Wait  time.Duration // no vote before: what was granted in the epoch before may last so long
}

// Need is how many voters are a majority.
func (e *Electorate) Need() int { return len(e.Voters)/2 + 1 }

// Same tells whether two are one.
func (e *Electorate) Same(o *Electorate) bool {
	return e.Root == o.Root && e.Epoch == o.Epoch && slices.Equal(e.Voters, o.Voters)
}

// Names tells whether a node votes, as far as the electorate says.
func (e *Electorate) Names(id crdt.NodeID) bool {
	return slices.ContainsFunc(e.Voters, func(m Member) bool { return m.Node == id })
}
