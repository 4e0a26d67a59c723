package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// maxRounds is more than a pull needs after a partition (DESIGN: two), whatever was missed.
const maxRounds = 2

// TestCatchUp takes the device off line through writes elsewhere, writes once at the device, and wants all of
// it merged by one pull in a number of round trips that does not depend on how many writes were missed.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	cloud, edge, device := startMesh(t)
	nodes := []*harness.Node{cloud, edge, device}
	for _, n := range nodes {
		n.Do("SET", "before:"+n.Name, n.Name)
	}
	harness.Converge(t, harness.Patience, "default", nodes...)
	few := missed(t, 100, device, edge, cloud)
	many := missed(t, 10_000, device, edge, cloud)
	if few.Rounds != many.Rounds || many.Rounds > maxRounds {
		t.Errorf("%d writes took %d round trips and %d took %d, want as many, at most %d", few.News, few.Rounds, many.News, many.Rounds, maxRounds)
	}
}

// missed lets the device miss writes, half of them at each of the others, and gives the pull that brought them.
func missed(t *testing.T, writes int, device, edge, cloud *harness.Node) harness.Pull {
	t.Helper()
	device.CLI("offline")
	name := fmt.Sprintf("missed:%d", writes)
	fill(t, edge, name+":edge", writes/2)
	fill(t, cloud, name+":cloud", writes/2)
	harness.Converge(t, harness.Patience, "default", edge, cloud)
	if got := device.Do("EXISTS", name+":edge:0"); got != int64(0) {
		t.Fatal("the device is off line and got a write")
	}
	device.Do("SET", name+":device", "written alone")

	device.CLI("online")
	took := harness.Converge(t, harness.Patience, "default", device, edge, cloud)
	for _, n := range []*harness.Node{edge, cloud} {
		if got := n.Do("GET", name+":device"); got != "written alone" {
			t.Errorf("%s has %v for the device's write", n.Name, got)
		}
	}
	pull := device.CLIStatus().Node.Sync.LastPull
	for end := time.Now().Add(harness.Patience); (pull == nil || pull.News < uint64(writes)) && time.Now().Before(end); { // it is noted when the session ends
		pull = device.CLIStatus().Node.Sync.LastPull
	}
	if pull == nil || pull.News < uint64(writes) {
		t.Fatalf("the last pull is %+v, want one that brought all of %d writes", pull, writes)
	}
	t.Logf("%d writes missed: %d round trips, %d bytes, equal digests %v after 'edgemem online' returned", writes, pull.Rounds, pull.BytesIn, took)
	return *pull
}

// fill writes keys PREFIX:0 … in pipelines.
func fill(t *testing.T, n *harness.Node, prefix string, keys int) {
	t.Helper()
	c := n.Dial()
	const batch = 500
	for first := 0; first < keys; first += batch {
		var cmds [][]string
		for i := first; i < min(first+batch, keys); i++ {
			cmds = append(cmds, []string{"SET", fmt.Sprintf("%s:%d", prefix, i), "value"})
		}
		replies, err := c.Pipeline(cmds)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range replies {
			if r != "OK" {
				t.Fatalf("SET answers %v", r)
			}
		}
	}
}
