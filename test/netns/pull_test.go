package netns

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/history"
	"github.com/edgemem/edgemem/test/lab/wire"
)

const (
	longKeys  = 8000
	longValue = 1000 // bytes
	// longLink takes 4 s for what the device missed, so that much happens meanwhile.
	longLink = "delay=5ms,jitter=5ms,loss=0.1%,reorder=0.5%,rate=2000000"
	lateLink = "delay=150ms,jitter=50ms,rate=2000000"
	longCuts = 2
)

// TestLongPull brings a device back to much news over a slow link, and keeps changing and removing what is on its way while the
// link breaks. What the device hears from the edge comes late, when the cloud has told it better already.
func TestLongPull(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	s.patience = 3 * *healed // 6 MB over a thin link take longer than a person waits, on a busy machine
	cloud, edge, device := s.node("cloud"), s.node("edge"), s.node("device")
	s.net.blow(edge.host, condition(t, "lan"))
	s.net.blow(device.host, condition(t, longLink))
	s.net.set(edge.host, device.host, condition(t, lateLink))

	heal := s.leave(device, edge)
	s.bulk(cloud, history.Write, longKeys, noise)
	s.converge("the bulk of writes, at those that are connected", cloud, edge)
	heal()
	s.write(s.nodes...)
	for i := range longCuts {
		s.bulk(edge, history.Remove, longKeys/(i+3), nil)
		s.written(300)
		heal := s.leave(device, edge)
		s.written(300)
		heal()
		s.bulk(cloud, history.Write, longKeys/(i+4), always(fmt.Sprint("again", i)))
		s.written(300)
	}
	s.rest()
	s.converge("a long pull", s.nodes...)
	s.check(0, s.nodes...)
	n := device.MustStatus().Node.Sync
	t.Logf("the device made %d pulls with %d round trips; %s", n.Pulls, n.Rounds, s.net.reportWires())
}

// leave cuts a node off; it is back with most of the others at once, and with the last when one of them has told it something.
func (s *site) leave(m, last *member) (heal func()) {
	s.t.Helper()
	most := s.part(m)
	one := s.net.part([]*host{m.host}, []*host{last.host})
	return func() {
		s.t.Helper()
		before := m.MustStatus().Node.Sync.Chunks
		most()
		harness.Eventually(s.t, s.patience, "a first chunk", func() error {
			if now := m.MustStatus().Node.Sync.Chunks; now == before {
				return fmt.Errorf("%s still has %d chunks", m.Name, now)
			}
			return nil
		})
		one()
	}
}

func condition(t *testing.T, text string) wire.Condition {
	t.Helper()
	c, err := wire.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// noise gives values that no compression makes shorter than 3 bytes in 4.
func noise(i int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	rnd := rand.New(rand.NewPCG(*seed, uint64(i)))
	text := make([]byte, longValue)
	for i := range text {
		text[i] = letters[rnd.IntN(len(letters))]
	}
	return string(text)
}
