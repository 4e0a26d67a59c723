package netns

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestRollingRestart restarts every node in turn, as an upgrade does, while clients write to all. Whoever is not
// restarted never notices.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "regional", "edge", "device")
	s.write(s.nodes...)
	for _, m := range s.nodes {
		s.written(200)
		s.halt(m)
		s.written(200)
		s.start(m)
	}
	s.written(200)
	s.rest()
	s.converge(fmt.Sprintf("%d restarts, one by one", len(s.nodes)), s.nodes...)
	s.check(0, s.nodes...)
}

// TestPowerCut kills all nodes at once, long after the first of the writes that they answered from memory. No peer has them:
// each must come from a disk, although no client waits for one.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	s := newSite(t, "device")
	s.regions = []string{region}
	s.write(s.nodes...)
	last(promises.OnDiskAfter * 3 / 2)
	s.kill(s.nodes...)
	s.start(s.nodes...)
	s.rest()
	s.converge("a power cut", s.nodes...)
	s.check(0, s.nodes...)
}

const (
	storms = 8
	// lifeMax is how long the nodes live between two kills, at most, counted from when clients are answered: from the
	// first push to after the first commit.
	lifeMax = 1500 * time.Millisecond
)

// TestKillStorm kills random nodes, now and then all of them, again and again while clients write to all.
func TestKillStorm(t *testing.T) {
	t.Parallel()
	s := newSite(t, "regional", "edge", "device")
	rnd := rand.New(rand.NewPCG(*seed, 2))
	s.write(s.nodes...)
	for range storms {
		s.written(1)
		last(time.Duration(rnd.Int64N(int64(lifeMax)))) // the moment of the kill is the point
		victims := draw(rnd, s.nodes, 1+rnd.IntN(len(s.nodes)))
		s.kill(victims...)
		s.start(victims...)
	}
	s.written(1)
	s.rest()
	s.converge(fmt.Sprintf("%d kills in %d storms", s.kills, storms), s.nodes...)
	s.check(0, s.nodes...)
}

// draw picks n of the members.
func draw(rnd *rand.Rand, members []*member, n int) (drawn []*member) {
	for _, i := range rnd.Perm(len(members))[:n] {
		drawn = append(drawn, members[i])
	}
	return drawn
}
