package crdt

import (
	"math/rand/v2"
	"testing"
)

// TestFlagRules: of what was written concurrently, the rule decides; what was seen does not count.
func TestFlagRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		a, b        FlagRule
		onA, onB    bool
		want        bool
		wantDisable bool
	}{
		{"enable wins", FlagRuleKept, FlagRuleKept, true, false, true, false},
		{"both off", FlagEnableWins, FlagEnableWins, false, false, false, false},
		{"disable wins", FlagDisableWins, FlagDisableWins, true, false, false, true},
		{"both on", FlagDisableWins, FlagDisableWins, true, true, true, true},
		{"rules meet", FlagEnableWins, FlagDisableWins, true, false, false, true},
	} {
		a, b := newTestRegion(1), newTestRegion(2)
		set := func(r *Region, on bool, rule FlagRule) {
			update(t, r, func(tx *Tx) error { return tx.FlagSet("f", on, rule) })
		}
		set(a, !c.onA, FlagRuleKept)
		pushTo(t, a, b)
		set(a, c.onA, c.a)
		set(b, c.onB, c.b)
		pullAll(t, a, b, 1<<20)
		pullAll(t, b, a, 1<<20)
		for _, r := range []*Region{a, b} {
			on, rule, ok, err := r.View(testNow).Flag("f")
			if on != c.want || !ok || err != nil || (rule == FlagDisableWins) != c.wantDisable || r.View(testNow).Kind("f") != KindFlag {
				t.Errorf("%s: %v %v %v %v", c.name, on, rule, ok, err)
			}
		}
		set(b, !c.want, FlagRuleKept) // it has seen both
		pullAll(t, a, b, 1<<20)
		if on, _, _, _ := a.View(testNow).Flag("f"); on == c.want || a.Siblings() != 1 {
			t.Errorf("%s: a later write does not settle it", c.name)
		}
		mustAudit(t, a, b)
	}
}

// TestFlagOracle plays random writes and meetings beside sets of the writes that nobody has covered.
func TestFlagOracle(t *testing.T) {
	t.Parallel()
	type wrote struct {
		on, disable bool
		covers      map[int]bool
	}
	for seed := range uint64(lawRuns) {
		rng := rand.New(rand.NewPCG(seed, 41))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		var all []wrote
		seen := []map[int]bool{{}, {}, {}}
		for range 30 {
			i, j := rng.IntN(3), rng.IntN(3)
			if i != j {
				pullAll(t, rs[i], rs[j], 1<<20)
				for w := range seen[j] {
					seen[i][w] = true
				}
				continue
			}
			w := wrote{rng.IntN(2) == 0, rng.IntN(4) == 0, map[int]bool{}}
			for x := range seen[i] {
				w.covers[x] = true
			}
			seen[i][len(all)] = true
			all = append(all, w)
			rule := FlagEnableWins
			if w.disable {
				rule = FlagDisableWins
			}
			update(t, rs[i], func(tx *Tx) error { return tx.FlagSet("f", w.on, rule) })
		}
		for i, r := range rs {
			some, every, disable, any := false, true, false, false
			for w := range seen[i] {
				covered := false
				for x := range seen[i] {
					covered = covered || all[x].covers[w]
				}
				if !covered {
					any, some, every, disable = true, some || all[w].on, every && all[w].on, disable || all[w].disable
				}
			}
			want := some
			if disable {
				want = every
			}
			if on, _, ok, _ := r.View(testNow).Flag("f"); ok != any || ok && on != want {
				t.Fatalf("seed %d: replica %d shows %v %v, want %v %v", seed, i, on, ok, want, any)
			}
		}
	}
}
