package pressure

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const mib = 1 << 20

var start = time.Unix(1_000_000, 0)

func gauge(t *testing.T) *Gauge {
	t.Helper()
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// of is a node with 1,000 MiB for writers and 100 MiB for merges.
func of(usedMiB int64) Reading {
	return Reading{Used: usedMiB * mib, Budget: 1100 * mib, Reserve: 100 * mib}
}

func TestLevelsByEachNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		r    Reading
		want Level
		why  string
	}{
		{"idle", of(0), None, ""},
		{"below reclaim", of(849), None, ""},
		{"reclaim", of(850), Reclaim, "own use 850.0 MiB of 1000.0 MiB for writers, 85.0 % (from 85 %)"},
		{"demote", of(900), Demote, "demote: own use"},
		{"slow", of(950), Slow, "slow: own use"},
		{"refuse at the reserve", of(1000), Refuse, "refuse: own use"},
		{"reserved and not used", Reading{Used: 400 * mib, Budget: 1100 * mib, Reserve: 100 * mib, Reserved: 500 * mib}, Demote, "own use 400.0 MiB and reserved 500.0 MiB of 1000.0 MiB for writers, 90.0 %"},
		{"no limit known", Reading{Used: 1 << 50}, None, ""},
		{"a reserve that is all", Reading{Budget: mib, Reserve: mib}, Refuse, "0 B of 0 B for writers"},
		{"cgroup", Reading{CgroupUsed: 93 * mib, CgroupLimit: 100 * mib}, Demote, "cgroup 93.0 MiB of 100.0 MiB, 93.0 % (from 92 %)"},
		{"cgroup full", Reading{CgroupUsed: 100 * mib, CgroupLimit: 100 * mib}, Refuse, "refuse: cgroup"},
		{"some stall", Reading{SomePercent: 12}, Reclaim, "some tasks stalled for memory 12.0 % of the time (from 10 %)"},
		{"all stall", Reading{FullPercent: 100, SomePercent: 100}, Slow, "slow: some tasks"},
		{"worst first", Reading{FullPercent: 6, Used: 91, Budget: 100}, Demote, "demote: own use 91 B of 100 B for writers, 91.0 % (from 90 %); reclaim: all tasks"},
	} {
		v := gauge(t).Observe(c.r, start)
		if v.Level != c.want || !strings.Contains(v.Why(), c.why) || (c.why == "") != (v.Why() == "") {
			t.Errorf("%s: %v because %q; want %v because %q", c.name, v.Level, v.Why(), c.want, c.why)
		}
		if (v.Delay > 0) != (v.Level >= Slow) {
			t.Errorf("%s: at %v writers wait %v", c.name, v.Level, v.Delay)
		}
	}
}

func TestFallingNeedsAMarginAndTime(t *testing.T) {
	t.Parallel()
	g := gauge(t)
	now := start
	step := func(used int64, wait time.Duration, want Level) {
		t.Helper()
		now = now.Add(wait)
		if v := g.Observe(of(used), now); v.Level != want {
			t.Errorf("with %d MiB after %v: %v (%s), want %v", used, now.Sub(start), v.Level, v.Why(), want)
		}
	}
	step(910, 0, Demote)
	step(870, time.Hour, Demote) // within the margin, however long
	step(849, time.Second, Demote)
	step(849, 999*time.Millisecond, Demote)
	step(900, 0, Demote) // asked for again: the time begins anew
	step(849, 1999*time.Millisecond, Demote)
	step(849, time.Millisecond, Reclaim)
	step(960, 0, Slow) // up at once
	step(700, time.Second, Slow)
	step(700, time.Second, None)
}

func TestNoFlappingOnAnEdge(t *testing.T) {
	t.Parallel()
	g := gauge(t)
	rng := rand.New(rand.NewPCG(1, 1))
	changes := 0
	for i := range 10_000 {
		v := g.Observe(of(930+rng.Int64N(40)), start.Add(time.Duration(i)*100*time.Millisecond))
		if v.Changed {
			changes++
		}
	}
	if changes > 2 { // to demote, to slow
		t.Errorf("the level changes %d times while use wanders around 950", changes)
	}
}

// TestWorseIsNeverBetter feeds two gauges alike but for one number that is worse in the second.
func TestWorseIsNeverBetter(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		a, b := gauge(t), gauge(t)
		now := start
		for range 50 {
			r := randomReading(rng)
			w := worsen(rng, r)
			now = now.Add(time.Duration(rng.IntN(2000)) * time.Millisecond)
			va, vb := a.Observe(r, now), b.Observe(w, now)
			if vb.Level < va.Level || vb.MergeRoom > va.MergeRoom || vb.WriteRoom > va.WriteRoom || vb.GiveBack < va.GiveBack {
				t.Fatalf("seed %d: %+v gives %+v, the worse %+v gives %+v", seed, r, va, w, vb)
			}
			if vb.Level == va.Level && vb.Delay < va.Delay {
				t.Fatalf("seed %d: worse numbers wait %v instead of %v", seed, vb.Delay, va.Delay)
			}
		}
	}
}

func randomReading(rng *rand.Rand) Reading {
	r := of(rng.Int64N(1200))
	r.CgroupLimit, r.CgroupUsed = 2000*mib, r.Used+rng.Int64N(2000*mib-r.Used)
	r.SomePercent = rng.Float64() * 30
	r.FullPercent = r.SomePercent * rng.Float64()
	return r
}

func worsen(rng *rand.Rand, r Reading) Reading {
	switch rng.IntN(5) {
	case 4:
		r.Reserved += rng.Int64N(100 * mib)
	case 0:
		r.Used += rng.Int64N(100 * mib)
	case 1:
		r.CgroupUsed += rng.Int64N(100 * mib)
	case 2:
		r.SomePercent += rng.Float64() * 20
	default:
		r.FullPercent += rng.Float64() * 20
	}
	return r
}

// TestMergesOutlastWriters is what the reserve is for.
func TestMergesOutlastWriters(t *testing.T) {
	t.Parallel()
	for used := int64(0); used < 1200; used += 7 {
		v := gauge(t).Observe(of(used), start)
		if used < 1100 && v.MergeRoom != (1100-used)*mib {
			t.Errorf("with %d MiB used merges have room for %d", used, v.MergeRoom)
		}
		if used >= 1000 != (v.WriteRoom == 0) || used >= 1000 != (v.Level == Refuse) || v.WriteRoom > v.MergeRoom {
			t.Errorf("with %d MiB used: %+v", used, v)
		}
	}
	if v := gauge(t).Observe(Reading{}, start); v.MergeRoom != math.MaxInt64 || v.WriteRoom != math.MaxInt64 {
		t.Errorf("without limits: %+v", v)
	}
}

// TestReservedIsFreeForMerges: what is kept for single regions limits writers, and is given back by others, but merges may have it.
func TestReservedIsFreeForMerges(t *testing.T) {
	t.Parallel()
	r := of(400)
	r.Reserved = 500 * mib
	v := gauge(t).Observe(r, start)
	if v.WriteRoom != 100*mib || v.MergeRoom != 700*mib || v.GiveBack != 100*mib {
		t.Errorf("%+v", v)
	}
	r.Reserved = 5000 * mib
	if v := gauge(t).Observe(r, start); v.Level != Refuse || v.WriteRoom != 0 || v.MergeRoom != 700*mib || v.GiveBack != 400*mib {
		t.Errorf("more than there is: %+v", v)
	}
}

func TestGivingBackLeavesAllLevels(t *testing.T) {
	t.Parallel()
	for used := int64(0); used < 1200; used += 3 {
		v := gauge(t).Observe(of(used), start)
		if (v.GiveBack > 0) != (v.Level > None) {
			t.Errorf("with %d MiB used at %v: give back %d", used, v.Level, v.GiveBack)
		}
		g := gauge(t)
		g.Observe(of(used), start)
		after := of(used)
		after.Used -= v.GiveBack
		g.Observe(after, start.Add(time.Second))
		if l := g.Observe(after, start.Add(3*time.Second)); l.Level != None && after.Used < 800*mib {
			t.Errorf("with %d MiB used and %d given back: %v", used, v.GiveBack, l.Level)
		}
	}
}

func TestDelayGrowsWithDistance(t *testing.T) {
	t.Parallel()
	last := time.Duration(0)
	for used := int64(950); used <= 1000; used++ {
		v := gauge(t).Observe(of(used), start)
		if v.Delay < last {
			t.Errorf("with %d MiB used writers wait %v, less than before", used, v.Delay)
		}
		last = v.Delay
		if used == 950 && v.Delay != time.Millisecond || used == 1000 && v.Delay != 100*time.Millisecond {
			t.Errorf("with %d MiB used writers wait %v", used, v.Delay)
		}
	}
}

func TestEventsCountForAWhile(t *testing.T) {
	t.Parallel()
	g := gauge(t)
	if v := g.Observe(Reading{High: 9, Max: 9, OOM: 9}, start); v.Level != None {
		t.Errorf("what happened before we looked gives %v", v.Level)
	}
	for _, c := range []struct {
		after time.Duration
		r     Reading
		want  Level
	}{
		{time.Second, Reading{High: 10, Max: 9, OOM: 9}, Reclaim},
		{2 * time.Second, Reading{High: 10, Max: 10, OOM: 9}, Demote},
		{3 * time.Second, Reading{High: 10, Max: 10, OOM: 10}, Slow},
		{12 * time.Second, Reading{High: 10, Max: 10, OOM: 10}, Slow},
		{13 * time.Second, Reading{High: 10, Max: 10, OOM: 10}, Slow}, // held
		{14 * time.Second, Reading{High: 10, Max: 10, OOM: 10}, None},
	} {
		v := g.Observe(c.r, start.Add(c.after))
		if v.Level != c.want || v.Level > None && v.Why() == "" {
			t.Errorf("after %v: %v (%s), want %v", c.after, v.Level, v.Why(), c.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for part, cfg := range map[string]Config{
		"Own":           {Own: Thresholds{0, 90, 80, 95, 100}},
		"Cgroup":        {Cgroup: Thresholds{0, -1, 80, 95, 100}},
		"MarginPercent": {MarginPercent: 90},
		"Hold":          {Hold: -1},
		"DelayMin":      {DelayMin: time.Second, DelayMax: time.Millisecond},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", part, err)
		}
	}
}

func TestSizesReadWell(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 1 << 62: "4096.0 PiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d is %q, want %q", bytes, got, want)
		}
	}
	if Level(9).String() != "level(9)" || Class(9).String() != "class(9)" {
		t.Error("unknown names")
	}
}
