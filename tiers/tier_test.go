package tiers

import (
	"slices"
	"testing"
)

func TestTiersAreOrderedOutward(t *testing.T) {
	t.Parallel()
	var last Tier
	for _, name := range Names() {
		tier, err := Parse(name)
		if err != nil || tier.String() != name {
			t.Errorf("%q reads as %v, %v", name, tier, err)
		}
		if !last.Nearer(tier) || tier.Nearer(last) {
			t.Errorf("%v is not nearer than %v", last, tier)
		}
		last = tier
	}
	if want := []string{"device", "edge", "regional", "cloud"}; !slices.Equal(Names(), want) {
		t.Errorf("names are %v, want %v", Names(), want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Device", "core", "tier(0)"} {
		if tier, err := Parse(name); err == nil {
			t.Errorf("%q reads as %v", name, tier)
		}
	}
	if s := Tier(9).String(); s != "tier(9)" {
		t.Errorf("an unknown tier prints as %s", s)
	}
}
