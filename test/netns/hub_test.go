package netns

import (
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestHubLoss loses the node that issued all tickets, for good. The others still sync with each other; and after a
// reboot of all of them they find each other again, by what each remembers of its peers.
func TestHubLoss(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device", "regional")
	left := s.group("edge", "device", "regional")
	s.write(s.nodes...)
	s.written(300)
	s.rest()
	s.converge("the first writes", s.nodes...)

	s.unplug(s.node("cloud"))
	s.kill(s.node("cloud"))
	s.write(left...)
	s.written(1000)
	s.rest()
	s.converge("the last write without the hub", left...)
	s.check(0, left...)

	for _, m := range left {
		s.halt(m)
	}
	s.start(left...)
	took := harness.Connected(t, *healed, len(left)-1, s.daemons(left...)...)
	t.Logf("all connected to all %v after the reboot, with the hub gone", took.Round(time.Millisecond))
	s.write(left...)
	s.written(500)
	s.rest()
	s.converge("the last write after the reboot", left...)
	s.check(0, left...)
}
