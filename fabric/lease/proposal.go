package lease

import (
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Op is what a proposal does to a lease.
type Op uint8

// The operations on a lease.
const (
	Look    Op = iota // says who holds it, as a majority knows; changes nothing
	Acquire           // takes it, if nobody holds it
	Renew             // goes on, if nobody took it since
	Release           // gives it up, if nobody took it since
)

// Proposal is one attempt at one operation. Its maker sends Request to every voter, gives it what comes back, and sends again when Take says
// so. It is made for one ballot: who is outvoted makes another one.
type Proposal struct {
	Electorate Electorate
	Op         Op
	Name       string
	Ballot     Ballot // of Look: none
	Token      uint64 // of Renew and Release: which acquisition
	Owner      string // of Acquire
	TTL        time.Duration

	phase   Kind
	asked   time.Duration // when the phase began
	answers map[crdt.NodeID]Reply
	value   Value // of the second phase
	need    int
	result  Result
}

// Verdict is what came of a proposal.
type Verdict uint8

// How a proposal ends. Until then it is Open.
const (
	Open     Verdict = iota
	Granted          // what was to be done is done; of Look, the majority has answered
	Busy             // somebody else holds the lease
	Lost             // the lease was released, or somebody took it since
	Beaten           // another proposal came first: try again with a ballot above Result.High
	Replaced         // there are other voters: Result.Known
	Short            // so many voters cannot or do not answer that there is no majority
)

// Result is what a proposal came to.
type Result struct {
	Verdict Verdict
	Value   Value         // as it is now, as far as is known
	Left    time.Duration // for how long it lasts at least: of Granted; at most, as of the answer: of Busy and Look
	Until   time.Duration // of a lease that was granted: the end, by the clock of its maker
	High    uint64        // the highest number of a ballot that was met
	Known   Electorate    // of Replaced
	Begin   Start
	Waiting time.Duration         // how long it takes until voters vote that do not yet
	No      map[crdt.NodeID]Reply // who refused, and why
	Yes     int                   // how many voters took part in the last phase
}

// Begin starts the proposal. It gives what every voter is to be asked.
func (p *Proposal) Begin(now time.Duration) Request {
	p.need = p.Electorate.Need()
	p.result = Result{No: map[crdt.NodeID]Reply{}}
	p.phase = Prepare
	if p.Op == Look {
		p.phase = Show
	}
	return p.ask(now)
}

func (p *Proposal) ask(now time.Duration) Request {
	p.asked, p.answers = now, map[crdt.NodeID]Reply{}
	return Request{Kind: p.phase, Epoch: p.Electorate.Epoch, Name: p.Name, Ballot: p.Ballot, Value: p.value}
}

// Take takes the answer of a voter to the request of the present phase; an answer that did not come is nil. It gives the next request, if there
// is one. Result tells when it is over.
func (p *Proposal) Take(from crdt.NodeID, phase Kind, r *Reply, now time.Duration) (next *Request) {
	if p.result.Verdict != Open || phase != p.phase || !p.Electorate.Names(from) {
		return nil
	}
	if r == nil {
		return nil
	}
	switch r.Status {
	case OK:
		p.answers[from] = *r
		p.result.Yes = len(p.answers)
		if len(p.answers) >= p.need {
			return p.majority(now)
		}
	case OldEpoch:
		if r.Known.Epoch > p.Electorate.Epoch {
			p.end(Replaced)
			p.result.Known, p.result.Begin = r.Known, r.Begin
			return nil
		}
		p.result.No[from] = *r
	case Outvoted:
		p.result.High = max(p.result.High, r.Promised.N)
		p.end(Beaten)
	default:
		p.result.No[from] = *r
		p.result.Waiting = max(p.result.Waiting, r.Left)
	}
	if p.result.Verdict == Open && len(p.Electorate.Voters)-len(p.result.No) < p.need {
		p.end(Short)
	}
	return nil
}

// Phase is what the voters are being asked.
func (p *Proposal) Phase() Kind { return p.phase }

// Result is what the proposal came to; with Open, what is known so far.
func (p *Proposal) Result() Result { return p.result }

func (p *Proposal) end(v Verdict) { p.result.Verdict = v }

// majority goes on when a majority has answered.
func (p *Proposal) majority(now time.Duration) *Request {
	if p.phase == Accept {
		p.end(Granted)
		p.result.Value = p.value
		if p.value.Held {
			p.result.Until = p.asked + Believe(p.value.TTL)
			p.result.Left = max(p.result.Until-now, 0)
		}
		return nil
	}
	var ballot Ballot
	var floor uint64
	var left time.Duration
	var have Value
	for _, r := range p.answers {
		floor = max(floor, r.Floor)
		p.result.High = max(p.result.High, r.Promised.N, r.Floor)
		if r.Accepted.N > ballot.N {
			ballot, have = r.Accepted, r.Value
		}
	}
	for _, r := range p.answers { // one that did not hear of a renewal may keep the lease for longer
		if have.Held && r.Value.Held && r.Value.Token == have.Token {
			left = max(left, r.Left)
		}
	}
	p.result.Value, p.result.Left = have, left
	if verdict := p.judge(have, left, floor); verdict != Open {
		p.end(verdict)
		return nil
	}
	p.phase = Accept
	q := p.ask(now)
	return &q
}

// judge tells what the operation comes to, given what a majority knows, and what is to be accepted.
func (p *Proposal) judge(have Value, left time.Duration, floor uint64) Verdict {
	mine := have.Token == p.Token && have.Token > floor
	switch {
	case p.Op == Look:
		return Granted
	case p.Op == Acquire && have.Held && left > 0:
		return Busy
	case p.Op == Acquire:
		p.value = Value{Held: true, Token: p.Ballot.N, Owner: p.Owner, TTL: p.TTL}
	case !mine || p.Op == Renew && !have.Held:
		return Lost
	case p.Op == Renew:
		p.value = Value{Held: true, Token: p.Token, Owner: have.Owner, TTL: p.TTL}
	default:
		p.value = Value{Token: p.Token, Owner: have.Owner}
	}
	return Open
}
