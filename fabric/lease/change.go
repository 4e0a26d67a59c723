package lease

import (
	"maps"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Change decides which electorate follows one. Its maker sends Request to all that Deciders names, and gives it what comes back.
type Change struct {
	From   Electorate    // the zero Electorate: the first one is founded
	Asked  []crdt.NodeID // then: all core members
	Voters []Member      // that are wanted, by node
	Ballot Ballot

	phase   Kind
	next    Electorate
	answers map[crdt.NodeID]Reply
	need    int
	result  ChangeResult
}

// ChangeResult is what a change came to.
type ChangeResult struct {
	Verdict Verdict // Open, Granted, Beaten, Replaced or Short
	Next    Electorate
	Begin   Start
	High    uint64
	Known   Electorate // of Replaced
	No      map[crdt.NodeID]Reply
	Yes     int
	Need    int
	Asked   bool // voters were asked to accept it, so that it may come to be even though too few answered
}

// Deciders are those that are asked.
func (c *Change) Deciders() []crdt.NodeID {
	if c.From.Epoch == 0 {
		return c.Asked
	}
	out := make([]crdt.NodeID, len(c.From.Voters))
	for i, m := range c.From.Voters {
		out[i] = m.Node
	}
	return out
}

// Begin starts the change. It gives what every decider is to be asked.
func (c *Change) Begin() Request {
	c.need = c.From.Need()
	if c.From.Epoch == 0 {
		c.need = len(c.Asked) // all: there is nobody yet who decides
	}
	c.next = Electorate{Root: c.From.Root, Epoch: c.From.Epoch + 1, Voters: c.Voters}
	if c.From.Epoch == 0 {
		c.next.Root = c.Ballot.By
	}
	c.result = ChangeResult{No: map[crdt.NodeID]Reply{}, Need: c.need}
	c.phase = Propose
	return c.ask()
}

func (c *Change) ask() Request {
	c.answers = map[crdt.NodeID]Reply{}
	return Request{Kind: c.phase, Epoch: c.From.Epoch, Ballot: c.Ballot, Next: c.next, Asked: c.Asked}
}

// Phase is what the deciders are being asked.
func (c *Change) Phase() Kind { return c.phase }

// Result is what the change came to.
func (c *Change) Result() ChangeResult { return c.result }

// Take is as Proposal.Take.
func (c *Change) Take(from crdt.NodeID, phase Kind, r *Reply) (next *Request) {
	if c.result.Verdict != Open || phase != c.phase || !slices.Contains(c.Deciders(), from) || r == nil {
		return nil
	}
	switch r.Status {
	case OK:
		c.answers[from] = *r
		c.result.Yes = len(c.answers)
		if len(c.answers) >= c.need {
			return c.majority()
		}
	case OldEpoch:
		if r.Known.Epoch > c.From.Epoch {
			c.result.Verdict, c.result.Known, c.result.Begin = Replaced, r.Known, r.Begin
			return nil
		}
		c.result.No[from] = *r
	case Outvoted:
		c.result.Verdict, c.result.High = Beaten, max(c.result.High, r.Promised.N)
	default:
		c.result.No[from] = *r
	}
	if c.result.Verdict == Open && len(c.Deciders())-len(c.result.No) < c.need {
		c.result.Verdict = Short
	}
	return nil
}

func (c *Change) majority() *Request {
	var best Ballot
	var begin Start
	var left time.Duration
	for _, id := range slices.Sorted(maps.Keys(c.answers)) {
		r := c.answers[id]
		if r.Accepted.N > best.N {
			best = r.Accepted
			if c.phase == Propose {
				c.next = r.Next
			}
		}
		begin.Floor, left = max(begin.Floor, r.Floor), max(left, r.Left)
	}
	if c.phase == Propose {
		c.phase, c.result.Asked = Decide, true
		q := c.ask()
		return &q
	}
	begin.Wait = slower(left)
	c.result.Verdict, c.result.Next, c.result.Begin = Granted, c.next, begin
	return nil
}
