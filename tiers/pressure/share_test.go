package pressure

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func randomClaims(rng *rand.Rand, most int64) []Claim {
	claims := make([]Claim, rng.IntN(8))
	for i := range claims {
		c := &claims[i]
		c.Class = Class(rng.IntN(int(classes)))
		c.Used = rng.Int64N(most)
		c.Fixed = rng.Int64N(c.Used + 1)
		if rng.IntN(2) == 0 {
			c.Reservation = rng.Int64N(most)
		}
		if rng.IntN(2) == 0 {
			c.Quota = 1 + rng.Int64N(most)
		}
	}
	return claims
}

// TestGiveBackIsByteByByte compares with taking single bytes, each from whom the rules name next.
func TestGiveBackIsByteByByte(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		claims := randomClaims(rng, 40)
		need := rng.Int64N(150) - 5
		got, want := GiveBack(claims, need), byteByByte(claims, need)
		for i := range want {
			// Who of equals gives the odd byte is not a rule; who gives at all, in which step, is.
			if d := got[i] - want[i]; d < -1 || d > 1 {
				t.Fatalf("seed %d: %+v, need %d: %v, want %v", seed, claims, need, got, want)
			}
		}
		if sum(got) != sum(want) {
			t.Fatalf("seed %d: %+v, need %d: %v gives %d, want %d", seed, claims, need, got, sum(got), sum(want))
		}
	}
}

func byteByByte(claims []Claim, need int64) []int64 {
	give := make([]int64, len(claims))
	for ; need > 0; need-- {
		next := -1
		for _, step := range []func(Claim) int64{Claim.beyondQuota, Claim.beyondReservation, Claim.all} {
			for class := int(BestEffort); class >= 0 && next < 0; class-- {
				for i, c := range claims {
					left := step(c) - give[i]
					if int(c.Class) == class && left > 0 && (next < 0 || left > step(claims[next])-give[next]) {
						next = i
					}
				}
			}
		}
		if next < 0 {
			break
		}
		give[next]++
	}
	return give
}

func sum(v []int64) (s int64) {
	for _, x := range v {
		s += x
	}
	return s
}

func TestGiveBackLaws(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5000) {
		rng := rand.New(rand.NewPCG(seed, 2))
		claims := randomClaims(rng, 1<<40)
		need := rng.Int64N(1 << 42)
		give := GiveBack(claims, need)
		var could int64
		for _, c := range claims {
			could += c.all()
		}
		if sum(give) != min(need, could) {
			t.Fatalf("seed %d: %d of %d is given, %d could be", seed, sum(give), need, could)
		}
		checkOrder(t, seed, claims, give)
		if !slices.Equal(give, GiveBack(claims, need)) {
			t.Fatalf("seed %d: the second time gives another answer", seed)
		}
	}
}

// checkOrder holds that who goes below its reservation finds everybody at theirs, and that a class gives only after the lower ones
// have.
func checkOrder(t *testing.T, seed uint64, claims []Claim, give []int64) {
	t.Helper()
	for i, c := range claims {
		if give[i] < 0 || give[i] > c.all() {
			t.Fatalf("seed %d: %+v gives %d", seed, c, give[i])
		}
		for j, d := range claims {
			leftBeyond, leftAll := d.beyondReservation()-give[j], d.all()-give[j]
			switch {
			case give[i] > c.beyondReservation() && leftBeyond > 0:
				t.Fatalf("seed %d: %+v gives %d of its reservation, %+v keeps %d beyond its own", seed, c, give[i], d, leftBeyond)
			case give[i] > c.beyondReservation() && d.Class > c.Class && leftAll > 0:
				t.Fatalf("seed %d: %+v gives %d of its reservation, %+v of a lower class keeps %d", seed, c, give[i], d, leftAll)
			case give[i] > c.beyondQuota() && d.Class > c.Class && leftBeyond > 0 && give[i] <= c.beyondReservation():
				t.Fatalf("seed %d: %+v gives %d, %+v of a lower class keeps %d beyond its reservation", seed, c, give[i], d, leftBeyond)
			case give[i] > c.beyondQuota() && d.beyondQuota() > give[j]:
				t.Fatalf("seed %d: %+v gives %d, %+v is beyond its quota", seed, c, give[i], d)
			}
		}
	}
}

func TestGiveBackByExample(t *testing.T) {
	t.Parallel()
	claims := []Claim{
		{Class: Guaranteed, Used: 100, Reservation: 100},
		{Class: Burstable, Used: 100, Reservation: 20},
		{Class: BestEffort, Used: 60},
		{Class: BestEffort, Used: 20},
		{Class: Guaranteed, Used: 50, Quota: 40},
	}
	for need, want := range map[int64][]int64{
		0:    {0, 0, 0, 0, 0},
		10:   {0, 0, 0, 0, 10},    // beyond its quota, whatever its class
		40:   {0, 0, 30, 0, 10},   // the larger of the best-effort ones
		60:   {0, 0, 45, 5, 10},   // both down to 15
		120:  {0, 30, 60, 20, 10}, // then burstable
		1000: {100, 100, 60, 20, 50},
	} {
		if got := GiveBack(claims, need); !slices.Equal(got, want) {
			t.Errorf("need %d: %v, want %v", need, got, want)
		}
	}
}

func TestClassesHaveNames(t *testing.T) {
	t.Parallel()
	for c := Guaranteed; c < classes; c++ {
		if got, err := ParseClass(c.String()); err != nil || got != c {
			t.Errorf("%v reads as %v, %v", c, got, err)
		}
	}
	if _, err := ParseClass("premium"); err == nil {
		t.Error("premium is a class")
	}
}
