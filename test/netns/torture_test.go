package netns

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	// torturePause is a client's pause between pipelines: with 7 daemons some 1500 operations a second, so that the history of
	// half an hour fits in memory.
	torturePause = 30 * time.Millisecond
	faultsMax    = 3                       // at once
	holdMax      = 1500 * time.Millisecond // between two changes
)

// TestTorture does what a seed says to 5 to 7 daemons: faults of all kinds, up to three at once, on links of changing
// quality, while clients write. After each round everything heals, and everyone must agree on what is right.
func TestTorture(t *testing.T) {
	t.Parallel()
	x := newTorment(t)
	deadline := time.Now().Add(*torture)
	for time.Now().Before(deadline) || len(x.rounds) == 0 {
		x.round()
	}
	x.s.converge("everything", x.s.nodes...)
	x.s.check(0, x.s.nodes...)
	t.Logf("%s\n%s", x.table(), x.s.net.reportWires())
}

// torment is one run of the torture.
type torment struct {
	s      *site
	rnd    *rand.Rand
	rounds []round
}

// round is one line of the table.
type round struct {
	what         string
	faults       time.Duration
	acknowledged uint64
	healed       time.Duration
}

func newTorment(t *testing.T) *torment {
	t.Helper()
	rnd := rand.New(rand.NewPCG(*seed, 1))
	n := 5 + rnd.IntN(3)
	if *size != 0 {
		n = min(max(*size, 2), 9)
	}
	tiers := []string{"regional", "edge-a", "device-a", "device-b", "edge-b", "device-c", "regional-b", "device-d"}
	return &torment{s: newSite(t, tiers[:n-1]...), rnd: rnd}
}

// round makes some faults, one after another and all at once, takes them back, and waits until all agree.
func (x *torment) round() {
	since, before := x.s.log.Now(), x.s.log.Answered()
	began := time.Now()
	x.s.writeEvery(torturePause, x.s.nodes...)
	var done []string
	var undo []func()
	for range 1 + x.rnd.IntN(faultsMax) {
		f := faults[x.rnd.IntN(len(faults))]
		what, end := f(x)
		done, undo = append(done, what), append(undo, end)
		x.hold()
	}
	for _, i := range x.rnd.Perm(len(undo)) {
		undo[i]()
	}
	x.s.written(1)
	x.s.rest()
	r := round{what: strings.Join(done, "; "), faults: time.Since(began)}
	r.healed = x.s.converge(r.what, x.s.nodes...)
	x.s.check(since, draw(x.rnd, x.s.nodes, 2)...)
	r.acknowledged = x.s.log.Answered() - before
	x.rounds = append(x.rounds, r)
}

func (x *torment) hold() { last(time.Duration(x.rnd.Int64N(int64(holdMax)))) }

// table says what was done.
func (x *torment) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-seed %#x: %d daemons, %d rounds, %d kills, %d starts, %d writes acknowledged; %s\n",
		*seed, len(x.s.nodes), len(x.rounds), x.s.kills, len(x.s.born), x.s.log.Answered(), x.heals())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "round\tfaults for\twrites\thealed in\twhat")
	for i, r := range x.rounds {
		fmt.Fprintf(w, "%d\t%v\t%d\t%v\t%s\n", i+1, r.faults.Round(10*time.Millisecond), r.acknowledged, r.healed, r.what)
	}
	w.Flush()
	return b.String()
}

// heals sums up how long agreement took.
func (x *torment) heals() string {
	var took []time.Duration
	for _, r := range x.rounds {
		took = append(took, r.healed)
	}
	slices.Sort(took)
	n := len(took)
	return fmt.Sprintf("healed in %v at the median, %v nine times out of ten, %v at most", took[n/2], took[n*9/10], took[n-1])
}
