package place

import (
	"fmt"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// Kind is what a decision does.
type Kind uint8

// The kinds of decisions.
const (
	None    Kind = iota // a move that is wanted or due, and cannot be
	Promote             // the node gains a copy
	Demote              // the node gives its copy up
	Replace             // the node gains a copy instead of a holder that is lost
)

var kindNames = [...]string{"none", "promote", "demote", "replace"}

// String gives the kind's name.
func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Rule is why.
type Rule string

// The rules, in the order in which they are looked at.
const (
	RulePinned     Rule = "pinned"       // the owner named the node
	RuleEverywhere Rule = "everywhere"   // every node that may hold the region does
	RuleMinCopies  Rule = "min-copies"   // there are fewer copies than there are to be
	RuleCopyAt     Rule = "copy-at-tier" // there is none at a tier where one is due
	RuleNotAllowed Rule = "not-allowed"  // tier or labels of the holder
	RulePressure   Rule = "pressure"     // the holder is short of memory
	RuleRentOrBuy  Rule = "rent-or-buy"  // what use has cost since, against the cost of a move
	RuleWarm       Rule = "warm"         // a device is expected
	RuleCache      Rule = "cache"        // of the alternatives
)

// Decision is one move, or why there is none.
type Decision struct {
	Kind   Kind
	Region string
	Node   crdt.NodeID
	Rule   Rule
	// From is the holder above from which a copy comes, or whose copy will serve instead; Instead the holder that is replaced.
	From, Instead crdt.NodeID
	Numbers       Numbers
	// Hinders says why Kind is None.
	Hinders string
}

// Numbers are what the rule looked at. What it did not is 0.
type Numbers struct {
	Rent, Upkeep     float64 // cost since the last step, with no copy at the node and with one
	Move             float64 // cost of the move
	Level, Threshold float64 // of the meter; at which level the copy comes or goes
	Copies, Want     int     // live ones, and how many there are to be
	Bytes, Room      int64   // that a copy takes, that there are
	Chance           float64 // that the device comes
}

// String tells the decision in one line.
func (d Decision) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s at %s: %s:", d.Kind, d.Region, d.Node, d.Rule)
	n := d.Numbers
	switch d.Rule {
	case RuleRentOrBuy:
		fmt.Fprintf(&b, " level %.3f, threshold %.3f; of late rent %.4g, upkeep %.4g; the move %.4g", n.Level, n.Threshold, n.Rent, n.Upkeep, n.Move)
	case RuleWarm:
		fmt.Fprintf(&b, " chance %.2f × saving %.4g against %.4g for the move", n.Chance, n.Rent, n.Move)
	default:
		fmt.Fprintf(&b, " %d live copies, %d wanted", n.Copies, n.Want)
	}
	if d.Instead != "" {
		fmt.Fprintf(&b, "; instead of %s", d.Instead)
	}
	if d.Hinders != "" {
		fmt.Fprintf(&b, "; but %s", d.Hinders)
	}
	return b.String()
}
