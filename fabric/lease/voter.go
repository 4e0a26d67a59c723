package lease

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Voter is a node's part in the votes. "now" is a clock of its own that never goes back while it lives.
type Voter struct {
	node crdt.NodeID
	s    standing

	leases map[string]*entry
	most   int
	from   time.Duration // it votes from then on
}

// standing is what a node knows of electorates, and what it promised about them.
type standing struct {
	nonce  Nonce // with which it would join
	known  Electorate
	begin  Start
	voting bool // in the epoch of known
	waited bool // for as long as begin says
	torn   bool
	floor  uint64 // the highest number of what was forgotten

	// About what follows known.
	promised, accepted Ballot
	next               Electorate
}

// entry is one lease.
type entry struct {
	promised, accepted Ballot
	value              Value
	floor              uint64        // the voter's when it made the entry
	keep               time.Duration // of a value that is held: for how long from when it was accepted, or from a restart

	until time.Duration
}

// leasesMax bounds what a voter keeps. Beyond it, it forgets those that nobody holds.
const leasesMax = 1 << 14

const (
	keyStanding = "s"
	keyLease    = "l"
)

// NewVoter makes the voter of a node from what its records said, or from none. fresh is random.
func NewVoter(node crdt.NodeID, recs []Record, now time.Duration) (*Voter, error) {
	v := &Voter{node: node, leases: map[string]*entry{}, most: leasesMax}
	for _, r := range recs {
		if err := v.load(r); err != nil {
			return nil, err
		}
	}
	if v.from = now; !v.s.waited {
		v.from += slower(v.s.begin.Wait)
	}
	for _, x := range v.leases {
		x.until = now + x.keep
	}
	return v, nil
}

// slower is a time that has passed elsewhere when ours has.
func slower(d time.Duration) time.Duration { return d + d/250 }

func (v *Voter) load(r Record) (err error) {
	switch name, ok := strings.CutPrefix(r.Key, keyLease); {
	case ok:
		v.leases[name], err = decodeEntry(r.Value)
	case r.Key == keyStanding:
		v.s, err = decodeStanding(r.Value)
	}
	return err
}

// Known is the newest electorate that the node knows, and how it began.
func (v *Voter) Known() (Electorate, Start) { return v.s.known, v.s.begin }

// Votes tells whether the node has a vote.
func (v *Voter) Votes() bool { return v.s.voting && !v.s.torn }

// Torn tells whether the node knows of two electorates of one epoch.
func (v *Voter) Torn() bool { return v.s.torn }

// Forfeit gives up the node's vote: its disk may not hold what it promised. It needs another electorate to vote again.
func (v *Voter) Forfeit() (out []Record) {
	if !v.s.voting && v.s.nonce == (Nonce{}) {
		return nil
	}
	out = v.clear()
	v.s.nonce, v.s.voting = Nonce{}, false
	v.s.promised, v.s.accepted, v.s.next = Ballot{}, Ballot{}, Electorate{}
	return append(out, v.standing())
}

// Step answers a request. fresh is random, in case the node joins. The records are to be on disk before the reply leaves.
func (v *Voter) Step(q *Request, fresh Nonce, now time.Duration) (r Reply, out []Record) {
	switch q.Kind {
	case Show, Prepare, Accept:
		r, out = v.vote(q, now)
	case Join:
		r, out = v.join(fresh)
	case Propose, Decide:
		r, out = v.decide(q, now)
	case Learn:
		out = v.Learn(&q.Next, q.Start, now)
	}
	r.Known, r.Begin = v.s.known, v.s.begin
	return r, out
}

// vote answers what is about a lease.
func (v *Voter) vote(q *Request, now time.Duration) (r Reply, out []Record) {
	switch {
	case v.s.torn:
		return Reply{Status: Torn}, nil
	case q.Epoch != v.s.known.Epoch:
		return Reply{Status: OldEpoch}, nil
	case !v.s.voting:
		return Reply{Status: NoVote}, nil
	case v.s.accepted.N != 0:
		return Reply{Status: Changing}, nil
	case now < v.from:
		return Reply{Status: NotYet, Left: v.from - now}, nil
	}
	x := v.leases[q.Name]
	if x == nil && q.Kind != Show {
		if len(v.leases) >= v.most {
			if out = v.forget(now); out == nil {
				return Reply{Status: Full}, nil
			}
		}
		x = &entry{floor: v.s.floor}
	}
	if x == nil {
		return Reply{Floor: v.s.floor}, nil
	}
	if q.Kind != Show {
		if !x.may(q) {
			return Reply{Status: Outvoted, Promised: Ballot{N: max(x.promised.N, x.floor)}}, out
		}
		if q.Kind == Accept {
			x.accept(q, now)
		}
		x.promised = q.Ballot
		v.leases[q.Name] = x
		if !v.s.waited {
			v.s.waited = true
			out = append(out, v.standing())
		}
		out = append(out, Record{keyLease + q.Name, x.encode()})
	}
	return Reply{Promised: x.promised, Accepted: x.accepted, Value: x.value, Left: x.left(now), Floor: x.floor}, out
}

// may tells whether the voter is free to promise a ballot, or to accept it. What it did already it does again.
func (x *entry) may(q *Request) bool {
	if q.Ballot == x.promised && q.Ballot.N > 0 {
		return q.Kind == Prepare && x.accepted != q.Ballot || q.Kind == Accept && (x.accepted != q.Ballot || x.value == q.Value)
	}
	return above(q.Ballot, max(x.promised.N, x.floor))
}

// accept takes a value over. A holder that asks for less time than it has may never hear that it was accepted, and counts on what it had.
func (x *entry) accept(q *Request, now time.Duration) {
	left := x.left(now)
	if x.value.Token != q.Value.Token {
		left = 0
	}
	x.accepted, x.value, x.keep = q.Ballot, q.Value, 0
	if q.Value.Held {
		x.keep = max(q.Value.TTL, left)
	}
	x.until = now + x.keep
}

// above tells whether a ballot comes after a number, and not so far after it that numbers would run out.
func above(b Ballot, n uint64) bool { return b.N > n && b.N-n <= BallotJump }

// left is for how long the voter keeps the lease for its holder.
func (x *entry) left(now time.Duration) time.Duration {
	if !x.value.Held {
		return 0
	}
	return max(x.until-now, 0)
}

// forget drops a part of the leases that nobody holds, those of the lowest ballots, and keeps the highest number of them.
func (v *Voter) forget(now time.Duration) (out []Record) {
	var free []string
	for name, x := range v.leases {
		if x.left(now) == 0 {
			free = append(free, name)
		}
	}
	slices.SortFunc(free, func(a, b string) int {
		return cmp.Or(cmp.Compare(v.leases[a].promised.N, v.leases[b].promised.N), strings.Compare(a, b))
	})
	for _, name := range free[:min(len(free), max(v.most/4, 1))] {
		x := v.leases[name]
		v.s.floor = max(v.s.floor, x.promised.N, x.floor)
		delete(v.leases, name)
		out = append(out, Record{keyLease + name, nil})
	}
	if out == nil {
		return nil
	}
	return append(out, v.standing())
}

// clear drops all leases.
func (v *Voter) clear() (out []Record) {
	for _, name := range slices.Sorted(maps.Keys(v.leases)) {
		out = append(out, Record{keyLease + name, nil})
	}
	clear(v.leases)
	return out
}

func (v *Voter) standing() Record { return Record{keyStanding, v.s.encode()} }

// join tells the node's nonce.
func (v *Voter) join(fresh Nonce) (r Reply, out []Record) {
	if v.s.nonce == (Nonce{}) {
		v.s.nonce = fresh
		out = []Record{v.standing()}
	}
	return Reply{Nonce: v.s.nonce}, out
}

// decide answers what is about the electorate that follows an epoch. Who is asked about the first one is not a voter yet.
func (v *Voter) decide(q *Request, now time.Duration) (r Reply, out []Record) {
	s := &v.s
	switch {
	case s.torn:
		return Reply{Status: Torn}, nil
	case q.Epoch != s.known.Epoch:
		return Reply{Status: OldEpoch}, nil
	case q.Epoch > 0 && !s.voting:
		return Reply{Status: NoVote}, nil
	case q.Ballot != s.promised && !above(q.Ballot, s.promised.N):
		return Reply{Status: Outvoted, Promised: s.promised}, nil
	case q.Kind == Decide && s.accepted == q.Ballot && !s.next.Same(&q.Next):
		return Reply{Status: Outvoted, Promised: s.promised}, nil
	}
	s.promised = q.Ballot
	if q.Kind == Decide {
		s.accepted, s.next = q.Ballot, q.Next
	}
	r = Reply{Promised: s.promised, Accepted: s.accepted, Next: s.next, Floor: s.floor, Left: max(v.from-now, 0)}
	for _, x := range v.leases {
		r.Floor, r.Left = max(r.Floor, x.promised.N, x.floor), max(r.Left, x.left(now))
	}
	return r, []Record{v.standing()}
}

// Learn takes over an electorate that was decided on. The node votes in it if it is named with the nonce that it has.
func (v *Voter) Learn(e *Electorate, begin Start, now time.Duration) (out []Record) {
	s := &v.s
	switch {
	case e.Root == s.known.Root && (e.Epoch < s.known.Epoch || e.Same(&s.known)) || s.torn:
		return nil
	case s.known.Epoch > 0 && (e.Root != s.known.Root || e.Epoch == s.known.Epoch):
		s.torn = true
		return []Record{v.standing()}
	}
	out = v.clear()
	s.known, s.begin = *e, begin
	s.promised, s.accepted, s.next = Ballot{}, Ballot{}, Electorate{}
	s.voting = s.nonce != (Nonce{}) && slices.Contains(e.Voters, Member{v.node, s.nonce})
	s.floor, s.waited = begin.Floor, false
	v.from = now + slower(begin.Wait)
	return append(out, v.standing())
}
