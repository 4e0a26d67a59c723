package lease

import (
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Kind says what a Request asks for.
type Kind uint8

// What is asked of a node.
const (
	Show    Kind = 1 + iota // a lease as the voter knows it
	Prepare                 // a promise
	Accept                  // a vote
	Ask                     // the electorate that it knows, and whether it would found one
	Join                    // its nonce
	Propose                 // a promise, about the electorate that follows an epoch
	Decide                  // a vote for one
	Learn                   // nothing: it is told what was decided
	kindEnd
)

// Request is what a node is asked.
type Request struct {
	Kind   Kind
	Epoch  uint64 // in which the vote is; of Learn, the new one
	Name   string // of the lease
	Ballot Ballot
	Value  Value // of Accept

	Next  Electorate    // of Decide and Learn
	Start Start         // of Learn
	Asked []crdt.NodeID // of Ask, Propose and Decide in epoch 0: all core members that are asked
}

// Status says what became of a Request.
type Status uint8

// What a node answers.
const (
	OK       Status = iota
	Outvoted        // it promised a ballot of the same number or a higher one: Reply.Promised
	OldEpoch        // its epoch is another one: Reply.Known
	NoVote          // it is no voter of this epoch: it never was, or lost its disk, or has it from a backup
	NotYet          // it does not vote yet: Reply.Left
	Changing        // it voted for another electorate
	Full            // it keeps too many leases that are held
	Stranger        // it knows core members that are not asked: Reply.Detail
	Torn            // it knows two electorates of one epoch
	statusEnd
)

func (s Status) String() string {
	switch s {
	case OK:
		return "yes"
	case Outvoted:
		return "it promised a higher ballot"
	case OldEpoch:
		return "it knows of other voters"
	case NoVote:
		return "it has no vote"
	case NotYet:
		return "it does not vote yet"
	case Changing:
		return "the voters are being changed"
	case Full:
		return "it keeps too many leases"
	case Stranger:
		return "it knows core members that were not asked"
	case Torn:
		return "two electorates were founded apart"
	}
	return "it answers what is not understood"
}

// Reply is what a node answers.
type Reply struct {
	Status   Status
	Known    Electorate // the newest that it knows
	Begin    Start      // of that
	Promised Ballot     // the highest
	Accepted Ballot     // N is 0: none
	Value    Value      // that was accepted
	Left     time.Duration
	Floor    uint64 // tokens up to this may have been forgotten; of Decide, the highest number that was promised

	Next   Electorate // that was accepted, of Propose
	Nonce  Nonce      // of Join
	Detail string
}

// Record is what is to be on disk before the reply leaves: a nil Value removes it.
type Record struct {
	Key   string
	Value []byte
}
