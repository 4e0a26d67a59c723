package place

import (
	"fmt"
	"slices"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
)

// Placement is the way in which holders of a region are chosen.
type Placement uint8

// The placements.
const (
	Everywhere Placement = iota // every node that may hold it does
	OnDemand                    // where it is used, as long as it pays
	Pinned                      // on the nodes that are named, and others only to have copies enough
)

var placementNames = [...]string{"everywhere", "demand", "pinned"}

// PlacementNames lists the placements, the default first.
func PlacementNames() []string { return slices.Clone(placementNames[:]) }

// ParsePlacement reads a placement's name.
func ParsePlacement(name string) (Placement, error) {
	if i := slices.Index(placementNames[:], name); i >= 0 {
		return Placement(i), nil
	}
	return 0, fmt.Errorf("place: placement %q: want everywhere, demand or pinned", name)
}

// String gives the placement's name.
func (p Placement) String() string {
	if int(p) >= len(placementNames) {
		return fmt.Sprintf("placement(%d)", uint8(p))
	}
	return placementNames[p]
}

// Spec is what the owner of a region asks for. All of it is hard but the placement, which says what to aim at.
type Spec struct {
	Placement Placement
	// MinCopies is how many live copies there are to be at least. Default 1.
	MinCopies int
	// CopyAt is a tier at which one of them is to be. Default: none.
	CopyAt tiers.Tier
	// Tiers and Labels say which nodes may hold it: those of one of these tiers, with all of these labels. Default: all nodes.
	Tiers  []tiers.Tier
	Labels map[string]string
	// Pins are nodes that hold it and keep it.
	Pins []crdt.NodeID
	// NeverLeave keeps every copy where it is once it is there.
	NeverLeave bool
}

func (s Spec) minCopies() int { return max(1, s.MinCopies, len(s.Pins)) }

func (s Spec) pinned(id crdt.NodeID) bool { return slices.Contains(s.Pins, id) }

// Allows says whether a node may hold the region by its tier and labels, and if not, why.
func (s Spec) Allows(n Node) (why string, ok bool) {
	if s.allows(&n) {
		return "", true
	}
	for _, key := range sortedKeys(s.Labels) {
		if got, ok := n.Labels[key]; !ok || got != s.Labels[key] {
			return fmt.Sprintf("label %s=%q is not %q", key, got, s.Labels[key]), false
		}
	}
	return fmt.Sprintf("tier %v is not allowed", n.Tier), false
}

func (s *Spec) allows(n *Node) bool {
	for key, want := range s.Labels { // all of them, in any order
		if got, ok := n.Labels[key]; !ok || got != want {
			return false
		}
	}
	return len(s.Tiers) == 0 || slices.Contains(s.Tiers, n.Tier)
}
