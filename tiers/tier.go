package tiers

import "fmt"

// Tier says how near the consumer a node is, and how much it can hold: the greater, the farther and the larger.
type Tier uint8

// The tiers, in their order.
const (
	Device Tier = iota + 1
	Edge
	Regional
	Cloud
)

var names = [...]string{Device: "device", Edge: "edge", Regional: "regional", Cloud: "cloud"}

// Names lists the tiers from the consumer outward.
func Names() []string { return append([]string(nil), names[Device:]...) }

// Parse reads a tier's name.
func Parse(name string) (Tier, error) {
	for t := Device; t <= Cloud; t++ {
		if names[t] == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("tiers: %q is no tier: want device, edge, regional or cloud", name)
}

// String gives the tier's name.
func (t Tier) String() string {
	if t < Device || t > Cloud {
		return fmt.Sprintf("tier(%d)", uint8(t))
	}
	return names[t]
}

// Nearer reports whether t is nearer the consumer than u.
func (t Tier) Nearer(u Tier) bool { return t < u }
