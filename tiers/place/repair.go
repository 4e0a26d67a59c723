package place

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// counts says whether a holder is a copy still: those that are lost are, for a while.
func (s *step) counts(id crdt.NodeID) bool {
	n, ok := s.o.Nodes.Get(id)
	if !ok || !s.o.Spec.allows(&n) {
		return false
	}
	return n.Lost.IsZero() || s.now.Sub(n.Lost) < s.cfg.Grace
}

// copies lists the holders that count, by id.
func (s *step) copies() (out []Node) {
	for _, id := range sortedKeys(s.holds) {
		if s.counts(id) {
			n, _ := s.o.Nodes.Get(id)
			out = append(out, n)
		}
	}
	return out
}

// lost is the first holder that does not count because it has been away for too long.
func (s *step) lost() crdt.NodeID {
	for _, id := range sortedKeys(s.holds) {
		if n, ok := s.o.Nodes.Get(id); (!ok || !n.Lost.IsZero()) && !s.counts(id) {
			return id
		}
	}
	return ""
}

// repair makes what must be there: pins, copies everywhere, one at a tier, enough of them.
func (s *step) repair() {
	for _, id := range slices.Sorted(slices.Values(s.o.Spec.Pins)) {
		if n, ok := s.o.Nodes.Get(id); ok && !s.has(id) && n.Lost.IsZero() {
			s.gain(n, RulePinned)
		}
	}
	if s.o.Spec.Placement == Everywhere {
		for _, n := range s.o.Nodes.list {
			if s.o.Moving+s.begun >= s.cfg.AtOnce {
				break
			}
			if !s.has(n.ID) && s.may(n) {
				s.gain(n, RuleEverywhere)
			}
		}
	}
	if at := s.o.Spec.CopyAt; at != 0 && !slices.ContainsFunc(s.copies(), func(n Node) bool { return n.Tier == at }) {
		s.gainBest(RuleCopyAt, func(n Node) bool { return n.Tier == at })
	}
	for len(s.copies()) < s.o.Spec.minCopies() {
		if !s.gainBest(RuleMinCopies, func(Node) bool { return true }) {
			break
		}
	}
}

// gain gives a node a copy; from then on it counts. It reports whether nothing hinders that.
func (s *step) gain(n Node, rule Rule) bool {
	d := Decision{Kind: Promote, Rule: rule, Node: n.ID, From: s.source(n), Numbers: s.want()}
	d.Numbers.Room = n.Room
	if rule == RuleMinCopies || rule == RuleCopyAt {
		if d.Instead = s.lost(); d.Instead != "" {
			d.Kind = Replace
		}
	}
	why := s.noRoom(n)
	if rule == RulePinned {
		if not, ok := s.o.Spec.Allows(n); !ok {
			why = not
		}
	}
	before := s.begun
	s.decide(d, why, false)
	if s.begun == before {
		return false
	}
	s.holds[n.ID] = Holder{Node: n.ID} // not proved yet: nothing is given up because of it
	if d.Instead != "" {
		delete(s.holds, d.Instead)
	}
	return true
}

func (s *step) want() Numbers {
	return Numbers{Copies: len(s.copies()), Want: s.o.Spec.minCopies(), Bytes: s.o.Bytes}
}

// source is the nearest holder above a node, else the first that is reached.
func (s *step) source(n Node) crdt.NodeID {
	reached := func(n Node) bool { return s.has(n.ID) && n.Lost.IsZero() }
	if up, _, ok := s.o.Nodes.hop(n, reached); ok {
		return up.ID
	}
	for _, id := range sortedKeys(s.holds) {
		if h, ok := s.o.Nodes.Get(id); ok && reached(h) {
			return id
		}
	}
	return ""
}

// gainBest gives a copy to the best node that accepts, or says that there is none.
func (s *step) gainBest(rule Rule, accepts func(Node) bool) bool {
	copies := s.copies()
	var best Node
	score := math.Inf(1)
	for _, n := range s.o.Nodes.list { // by id, so that the first of equals is the same everywhere
		if s.has(n.ID) || !accepts(n) || !s.may(n) || s.noRoom(n) != "" {
			continue
		}
		if x := s.score(n, copies); x < score {
			best, score = n, x
		}
	}
	if best.ID == "" {
		s.decide(Decision{Rule: rule, Numbers: s.want()}, "no other node may hold it and has room", false)
		return false
	}
	return s.gain(best, rule)
}

// score ranks candidates for a copy that must be somewhere, the least first: another failure domain, then how much the node can hold,
// against what it costs to have the copy there and keep it current.
func (s *step) score(n Node, copies []Node) float64 {
	x := 0.0
	if n.Zone != "" && slices.ContainsFunc(copies, func(c Node) bool { return c.Zone == n.Zone }) {
		x = 10 * min(1, max(0, s.o.Weights.Reliability))
	}
	x += float64(tiers.Cloud-n.Tier) + float64(n.Pressure)
	cost := s.o.Weights.Move(n.Link, s.o.Bytes)
	return x + cost/(1+cost)
}

// tidy gives up copies where they must not be, or where memory is short.
func (s *step) tidy() {
	for _, id := range sortedKeys(s.holds) {
		n, ok := s.o.Nodes.Get(id)
		if !ok || !n.Lost.IsZero() {
			continue
		}
		if !s.o.Spec.allows(&n) {
			s.leave(n, RuleNotAllowed)
		} else if n.Pressure >= pressure.Demote && !s.owned(n) {
			s.leave(n, RulePressure)
		}
	}
}

// leave has a node give its copy up, if it may. What is not allowed is not counted among the moves of an hour, as repairs are not.
func (s *step) leave(n Node, rule Rule) {
	d := Decision{Kind: Demote, Rule: rule, Node: n.ID, From: s.other(n), Numbers: s.want()}
	s.decide(d, s.mustStay(n), rule == RulePressure)
}

// owned says whether a node has its copy because the owner of the region wants it there.
func (s *step) owned(n Node) bool {
	return s.o.Spec.NeverLeave || s.o.Spec.pinned(n.ID) || s.o.Spec.Placement == Everywhere
}

// mustStay says why a copy cannot be given up, or nothing. Holders that are lost and copies that are not proved are no reason to let one go.
func (s *step) mustStay(n Node) string {
	left, atTier, proved := 0, false, false
	for id, h := range s.holds { // sums, in any order
		m, ok := s.o.Nodes.Get(id)
		if !ok || id == n.ID || !s.may(m) {
			continue
		}
		left++
		atTier = atTier || m.Tier == s.o.Spec.CopyAt
		proved = proved || h.Durable && h.Complete
	}
	switch {
	case s.owned(n) && s.may(n):
		return "its owner keeps it there"
	case left < s.o.Spec.minCopies():
		return fmt.Sprintf("%d copies would be left of %d", left, s.o.Spec.minCopies())
	case s.o.Spec.CopyAt != 0 && !atTier:
		return fmt.Sprintf("no copy would be left at tier %v", s.o.Spec.CopyAt)
	case !proved:
		return "no other durable holder has proved that it has everything"
	}
	return ""
}

// other is who has a copy besides a node.
func (s *step) other(n Node) crdt.NodeID {
	if up, _, ok := s.o.Nodes.hop(n, func(m Node) bool { return s.has(m.ID) && s.may(m) }); ok {
		return up.ID
	}
	return ""
}
