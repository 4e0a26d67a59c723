package pressure

import (
	"fmt"
	"slices"
)

// Class says who gives back first.
type Class uint8

// The classes, in the order in which they keep what they have: the first gives last.
const (
	Guaranteed Class = iota
	Burstable
	BestEffort
	classes
)

var classNames = [classes]string{"guaranteed", "burstable", "best-effort"}

// String gives the name that configuration uses.
func (c Class) String() string {
	if c >= classes {
		return fmt.Sprintf("class(%d)", uint8(c))
	}
	return classNames[c]
}

// ParseClass reads a class's name.
func ParseClass(name string) (Class, error) {
	if i := slices.Index(classNames[:], name); i >= 0 {
		return Class(i), nil
	}
	return 0, fmt.Errorf("pressure: %q is no class: want guaranteed, burstable or best-effort", name)
}

// A Claim is what one region has and is due.
type Claim struct {
	Class       Class
	Used        int64 // bytes in memory
	Fixed       int64 // of these, not to be given back: keys, causality, values that are not on disk yet
	Quota       int64 // most that it should have; 0 is no quota
	Reservation int64 // least that it should keep
}

// GiveBack says how many bytes each claim should give back, in the order of the claims, so that together they give what is needed
// or all they can. It takes first what is beyond quotas, then what is beyond reservations, then reservations; in each
// step best-effort before burstable before guaranteed. Within a step the largest give first, until they are as small as the
// next: a region that keeps little is left alone while another could give.
func GiveBack(claims []Claim, need int64) []int64 {
	give := make([]int64, len(claims))
	for _, step := range []func(Claim) int64{Claim.beyondQuota, Claim.beyondReservation, Claim.all} {
		for class := int(BestEffort); class >= int(Guaranteed) && need > 0; class-- {
			need -= level(claims, give, Class(class), step, need)
		}
	}
	return give
}

func (c Claim) all() int64 { return max(0, c.Used-max(0, c.Fixed)) }

func (c Claim) beyondReservation() int64 { return c.beyond(c.Reservation) }

// A quota below the reservation is a contradiction; the reservation holds, as for whoever has no quota.
func (c Claim) beyondQuota() int64 {
	if c.Quota <= 0 {
		return 0
	}
	return c.beyond(max(c.Quota, c.Reservation))
}

func (c Claim) beyond(line int64) int64 { return min(c.all(), max(0, c.Used-max(0, line))) }

// level cuts the largest of one class and step down to a common height, and tells how much that gives.
func level(claims []Claim, give []int64, class Class, step func(Claim) int64, need int64) (given int64) {
	var who []int
	excess := make([]int64, len(claims))
	for i, c := range claims {
		if excess[i] = step(c) - give[i]; c.Class == class && excess[i] > 0 {
			who = append(who, i)
		}
	}
	slices.SortStableFunc(who, func(a, b int) int { return cmpDown(excess[a], excess[b]) })
	height, cut, odd := waterline(who, excess, need)
	for rank, i := range who[:cut] {
		g := excess[i] - height
		if rank < odd {
			g--
		}
		give[i] += g
		given += g
	}
	return given
}

// waterline finds the greatest height to which cutting the first cut claims, sorted from the largest, gives what is needed. It
// would be too much by an odd byte for so many of them; each is above it by one at least.
func waterline(who []int, excess []int64, need int64) (height int64, cut, odd int) {
	var sum int64
	for cut = 0; cut < len(who); cut++ {
		next := excess[who[cut]]
		if cut > 0 && sum-next*int64(cut) >= need {
			break
		}
		sum += next
	}
	if cut == 0 || sum <= need {
		return 0, cut, 0
	}
	return (sum - need) / int64(cut), cut, int((sum - need) % int64(cut))
}

func cmpDown(a, b int64) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}
