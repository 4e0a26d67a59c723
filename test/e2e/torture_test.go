package e2e

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

var (
	rounds = flag.Int("rounds", 12, "rounds of kill -9 in each torture")
	seed   = flag.Uint64("seed", 0, "seed of the torture; 0 picks one")
)

const (
	safe = "safe" // a region that acknowledges from disk
	// lifeMax is how long a daemon lives before it is killed, counted from when it began to acknowledge: from
	// the first batch to well after the first flush of a table.
	lifeMax     = 250 * time.Millisecond
	connections = 4
)

// pickSeed tells the seed, so that a failure can be looked at again.
func pickSeed(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64() >> 16
	}
	t.Logf("-seed %#x -rounds %d", s, *rounds)
	return rand.New(rand.NewPCG(s, 0)), s
}

// TestTortureAlone kills one node over and over while clients write. It has no peers to get anything back
// from: what it acknowledged must come from its own disk, after every single kill.
func TestTortureAlone(t *testing.T) {
	t.Parallel()
	rnd, s := pickSeed(t)
	n := harness.Start(t, harness.Options{})
	n.CLI("region", "create", safe, "--ack", "disk")
	ledger, lives := harness.NewLedger(), newLives()
	for round := range *rounds {
		lives.born(t, n)
		before := ledger.Acknowledged()
		stop := startWriters(t, ledger, safe, s+uint64(round), connections, n)
		reach(t, ledger, before+1)
		<-time.After(time.Duration(rnd.Int64N(int64(lifeMax)))) // the moment of the kill is the point
		n.Kill()
		stop()
		n.Start()
		mustHold(t, ledger, safe, n)
	}
	lives.born(t, n)
	t.Logf("%d kills, %d acknowledged writes, none lost: %v", *rounds, ledger.Acknowledged(), ledger)
}

// TestTortureMesh kills any of three connected nodes, and now and then all of them, while clients write to all. At
// the end all hold the same, and all that was acknowledged by anyone.
func TestTortureMesh(t *testing.T) {
	t.Parallel()
	rnd, s := pickSeed(t)
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud", Listen: harness.OwnAddress()},
		harness.Options{Name: "edge", Tier: "edge", Listen: harness.OwnAddress()},
		harness.Options{Name: "device", Listen: harness.OwnAddress()})
	nodes[0].CLI("region", "create", safe, "--ack", "disk")
	waitForRegion(t, safe, nodes)
	ledger, lives := harness.NewLedger(), newLives()
	for _, n := range nodes {
		lives.born(t, n)
	}
	stop := startWriters(t, ledger, safe, s, connections, nodes...)
	for range *rounds {
		before := ledger.Acknowledged()
		reach(t, ledger, before+1)
		<-time.After(time.Duration(rnd.Int64N(int64(lifeMax)))) // the moment of the kill is the point
		lives.look(t, nodes)
		victims := pick(rnd, nodes)
		for _, n := range victims {
			n.Kill()
		}
		startAll(t, victims)
		for _, n := range victims {
			lives.born(t, n)
		}
	}
	stop()
	took := harness.Converge(t, harness.Patience, safe, nodes...)
	lives.look(t, nodes)
	mustHold(t, ledger, safe, nodes...)
	t.Logf("%d rounds, %d acknowledged writes, none lost; equal digests %v after the last write: %v", *rounds, ledger.Acknowledged(), took.Round(time.Millisecond), ledger)
}

// pick chooses mostly one node, sometimes two, and now and then, as a power cut does, all.
func pick(rnd *rand.Rand, nodes []*harness.Node) []*harness.Node {
	shuffled := slices.Clone(nodes)
	rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	switch rnd.IntN(6) {
	case 0:
		return shuffled
	case 1:
		return shuffled[:2]
	default:
		return shuffled[:1]
	}
}

func waitForRegion(t *testing.T, name string, nodes []*harness.Node) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "region "+name+" is known everywhere", func() error {
		for _, n := range nodes {
			if r, ok := n.MustStatus().Region(name); !ok || r.Ack != "disk" {
				return fmt.Errorf("%s has %+v", n.Name, r)
			}
		}
		return nil
	})
}

// lives watches for the two ways in which a dot could be used twice: an origin that comes back, and a context
// that shrinks while its node lives.
type lives struct {
	origins map[string]string                  // who had it
	seen    map[string]map[string]harness.Runs // by origin of the observer: its last context
}

func newLives() *lives {
	return &lives{origins: map[string]string{}, seen: map[string]map[string]harness.Runs{}}
}

// born notes an incarnation.
func (l *lives) born(t *testing.T, n *harness.Node) {
	t.Helper()
	origin := n.Started().Node.Origin
	if who, used := l.origins[origin]; used || len(origin) != 32 {
		t.Fatalf("%s started as origin %q, which %q was before", n.Name, origin, who)
	}
	l.origins[origin] = n.Name
}

// look compares each node's context with the last one of the same life.
func (l *lives) look(t *testing.T, nodes []*harness.Node) {
	t.Helper()
	for _, n := range nodes {
		s := n.MustStatus()
		r, _ := s.Region(safe)
		last := l.seen[s.Node.Origin]
		for _, origin := range slices.Sorted(maps.Keys(last)) {
			if now := harness.Seen(r.Context, origin); !now.Holds(last[origin]) {
				t.Errorf("%s had seen %v of %s and now has %v", n.Name, last[origin], origin, now)
			}
			if l.origins[origin] == "" && !harness.IsLine(origin) {
				t.Errorf("%s has seen writes of %s, which no node was", n.Name, origin)
			}
		}
		l.seen[s.Node.Origin] = r.Context
	}
}
