package netns

import (
	"testing"

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

	s.host("cloud").unplug()
	s.node("cloud").Kill()
	s.write(left...)
	s.written(1000)
	s.rest()
	s.converge("the last write without the hub", left...)
	s.check(left...)

	for _, n := range left {
		n.Stop()
	}
	for _, n := range left {
		n.Start()
	}
	took := harness.Connected(t, *healed, len(left)-1, left...)
	t.Logf("all connected to all %v after the reboot, with the hub gone", took)
	s.write(left...)
	s.written(500)
	s.rest()
	s.converge("the last write after the reboot", left...)
	s.check(left...)
}
