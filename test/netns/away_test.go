package netns

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/history"
)

const (
	// removes is more than the 65,536 removes that a region remembers.
	removes = 70_000
	// rewritten is how many of the removed keys the device writes anew meanwhile.
	rewritten = 100
	bulkBatch = 1000
)

// TestAwayWhileGhostsArePruned removes so much while a device is away that the others forget what was removed, and only know that
// they forgot. The device still has all of it, wrote some of it anew, and has news of its own.
func TestAwayWhileGhostsArePruned(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	cloud, device := s.node("cloud"), s.node("device")
	s.bulk(cloud, history.Write, removes, always("before"))
	s.converge("the bulk of writes", s.nodes...)

	plug := s.unplug(device)
	s.bulk(cloud, history.Remove, removes, nil)
	s.bulk(device, history.Write, rewritten, always("anew"))
	s.write(s.nodes...)
	s.written(500)
	s.rest()
	s.converge("the last write, among those that are connected", s.without(device)...)
	harness.Eventually(t, harness.Patience, "forgotten removes", func() error {
		if pruned(cloud) == 0 || pruned(s.node("edge")) == 0 {
			return fmt.Errorf("the cloud forgot %d, the edge %d", pruned(cloud), pruned(s.node("edge")))
		}
		return nil
	})
	plug()
	s.converge(fmt.Sprintf("%d removes, %d of them forgotten by the cloud", removes, pruned(cloud)), s.nodes...)
	s.check(0, s.nodes...)
	if pull := device.MustStatus().Node.Sync.LastPull; pull != nil {
		t.Logf("the device's last pull: %d round trips for %d writes, %d bytes", pull.Rounds, pull.News, pull.BytesIn)
	}
}

// bulk does the same to the first n keys of many: it removes them, or writes a value that has the text in it.
func (s *site) bulk(m *member, a history.Action, n int, text func(i int) string) {
	s.t.Helper()
	ops := make([]history.Op, n)
	for i := range ops {
		ops[i] = history.Op{Action: a, Slot: history.Slot{Region: region, Kind: history.String, Key: fmt.Sprintf("s:bulk:%d", i)}, Value: history.Absent}
		if a == history.Write {
			ops[i].Value = fmt.Sprintf("%d-%s", i, text(i))
		}
	}
	for batch := range slices.Chunk(ops, bulkBatch) {
		s.record(m, batch...)
	}
}

// always gives the same text.
func always(text string) func(int) string { return func(int) string { return text } }

var prunedCount = regexp.MustCompile(`merges_default:.*ghosts_pruned=(\d+)`)

// pruned is how many removes the node has forgotten in the region default.
func pruned(m *member) int {
	m.site.t.Helper()
	found := prunedCount.FindStringSubmatch(m.Do("INFO", "crdt").(string))
	if found == nil {
		m.site.t.Fatalf("%s: INFO crdt does not say how many ghosts were pruned", m.Name)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		m.site.t.Fatal(err)
	}
	return n
}
