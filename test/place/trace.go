package place

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/place"
)

// Trace is demand over time.
type Trace struct {
	Name    string
	Every   time.Duration // length of a step
	Regions []Region
	Steps   []Step
}

// Region is one that is used.
type Region struct {
	Name  string
	Bytes int64
	Tiers []tiers.Tier // that may hold it; none: all
}

// Step is what happens in a while.
type Step struct {
	Moves []Trip
	Use   []RegionUse
}

// Trip puts a device under an edge.
type Trip struct{ Device, Edge crdt.NodeID }

// RegionUse is the use of one region, by its place in Regions.
type RegionUse struct {
	Region int
	place.Use
}

// step gives the step at an instant, making those before it.
func (tr *Trace) step(at time.Duration) *Step {
	i := int(at / tr.Every)
	for len(tr.Steps) <= i {
		tr.Steps = append(tr.Steps, Step{})
	}
	return &tr.Steps[i]
}

func (tr *Trace) region(name string, bytes int64, allowed ...tiers.Tier) int {
	tr.Regions = append(tr.Regions, Region{tr.Name + "/" + name, bytes, allowed})
	return len(tr.Regions) - 1
}

const readBytes, writeBytes = 4 << 10, 1 << 10 // of one operation

func (tr *Trace) reads(at time.Duration, region int, who crdt.NodeID, n int64) {
	if n > 0 {
		s := tr.step(at)
		s.Use = append(s.Use, RegionUse{region, place.Use{Consumer: who, Reads: n, ReadBytes: n * readBytes}})
	}
}

func (tr *Trace) writes(at time.Duration, region int, who crdt.NodeID, n int64) {
	if n > 0 {
		s := tr.step(at)
		s.Use = append(s.Use, RegionUse{region, place.Use{Consumer: who, Writes: n, Written: n * writeBytes}})
	}
}

// poisson draws how often something happens that does so mean times on average.
func poisson(rnd *rand.Rand, mean float64) int64 {
	if mean > 30 {
		return max(0, int64(math.Round(mean+rnd.NormFloat64()*math.Sqrt(mean))))
	}
	n, p, limit := int64(0), rnd.Float64(), math.Exp(-mean)
	for p > limit {
		n++
		p *= rnd.Float64()
	}
	return n
}

// hold keeps copies off devices: those that move would carry them.
var hold = []tiers.Tier{tiers.Cloud, tiers.Edge}

// kinds are the traces, by name. The same seed makes the same trace.
var kinds = []struct {
	name string
	make func(rnd *rand.Rand, tr *Trace)
}{
	{"diurnal", diurnal}, {"flash", flash}, {"commute", commute}, {"scan", scan}, {"adversary", adversary},
	{"mixed", func(rnd *rand.Rand, tr *Trace) {
		for _, fn := range []func(*rand.Rand, *Trace){diurnal, flash, commute, scan, adversary} {
			fn(rnd, tr)
		}
	}},
}

func generate(kind int, seed uint64) *Trace {
	tr := &Trace{Name: kinds[kind].name, Every: 10 * time.Second}
	kinds[kind].make(rand.New(rand.NewPCG(seed, uint64(kind))), tr)
	return tr
}

// diurnal: regions of an application that is used by day, and the day goes around the sites; a few writers anywhere.
func diurnal(rnd *rand.Rand, tr *Trace) {
	const day = 2 * time.Hour // shorter than it is
	for i := range 40 {
		r := tr.region("diurnal"+itoa(i), 32<<20<<(i%3))
		phase := rnd.Float64()
		for at := time.Duration(0); at < day; at += tr.Every {
			edge := rnd.IntN(4)*25 + i%25
			sun := math.Cos(2 * math.Pi * (float64(at)/float64(day) - float64(edge)/perTier - phase))
			tr.reads(at, r, edgeAt(edge), poisson(rnd, 4*max(0, sun)))
			tr.writes(at, r, cloudAt(rnd.IntN(perTier)), poisson(rnd, 0.3))
		}
	}
}

// flash: from one moment to the next everybody reads one region, for ten minutes.
func flash(rnd *rand.Rand, tr *Trace) {
	for i := range 40 {
		r := tr.region("flash"+itoa(i), 32<<20)
		begin := time.Duration(rnd.IntN(3600)) * time.Second
		for at := begin; at < begin+30*time.Minute; at += tr.Every {
			mean := 0.01
			if late := at - begin; late > 10*time.Minute && late < 20*time.Minute {
				mean = 2
			}
			for range 4 {
				tr.reads(at, r, deviceAt((rnd.IntN(20)*7+i)%perTier), poisson(rnd, mean))
			}
			tr.writes(at, r, cloudAt(i), poisson(rnd, 0.3))
		}
	}
}

// commute: devices that go from home to work and back, each with a region of its own that it reads and writes; one in five wanders.
func commute(rnd *rand.Rand, tr *Trace) {
	for d := range 30 {
		r := tr.region("commute"+itoa(d), 4<<20, hold...)
		home, work := edgeAt(rnd.IntN(perTier)), edgeAt(rnd.IntN(perTier))
		stay := time.Duration(20+rnd.IntN(10)) * time.Minute
		for leg := range 8 {
			begin := time.Duration(leg) * stay
			edge := []crdt.NodeID{home, work}[leg%2]
			if d%5 == 0 {
				edge = edgeAt(rnd.IntN(perTier))
			}
			s := tr.step(begin)
			s.Moves = append(s.Moves, Trip{deviceAt(d), edge})
			for at := begin; at < begin+stay; at += tr.Every {
				tr.reads(at, r, deviceAt(d), poisson(rnd, 1))
				tr.writes(at, r, deviceAt(d), poisson(rnd, 60))
			}
		}
	}
}

// scan: a few regions that an edge reads all the time, and many that it reads through once.
func scan(rnd *rand.Rand, tr *Trace) {
	for e := range 4 {
		edge := edgeAt(90 + e)
		hot := tr.region("hot"+itoa(e), 16<<20)
		for at := time.Duration(0); at < time.Hour; at += tr.Every {
			tr.reads(at, hot, edge, poisson(rnd, 3))
			tr.writes(at, hot, root, poisson(rnd, 0.3))
		}
		for i := range 60 {
			cold := tr.region("cold"+itoa(e*1000+i), 16<<20)
			tr.reads(time.Duration(i)*tr.Every, cold, edge, 5)
		}
	}
}

// adversary: what is worst for rent-or-buy. Reads that end as soon as they come to a move's cost, and reads and writes in turn, each
// until the one before would be paid for; the writer is at the root, so that writes cost nothing where there is no copy.
func adversary(_ *rand.Rand, tr *Trace) {
	const bytes = 32 << 20
	w := place.UsualWeights
	move := w.Move(edgeLink, bytes) + w.Move(siteLink, bytes)
	read := w.Access(edgeLink, 1, readBytes) + w.Access(siteLink, 1, readBytes)
	paid := int64(math.Ceil(move / read))
	for i := range 60 {
		once := tr.region("once"+itoa(i), bytes)
		for k := range paid {
			tr.reads(time.Duration(k)*tr.Every, once, edgeAt((10+i)%perTier), 1)
		}
		turns := tr.region("turns"+itoa(i), bytes)
		at := time.Duration(0)
		for range 3 {
			for range paid {
				tr.reads(at, turns, edgeAt((50+i)%perTier), 1)
				at += tr.Every
			}
			for range 30 {
				tr.writes(at, turns, root, bytes/writeBytes/30)
				at += tr.Every
			}
		}
	}
}
