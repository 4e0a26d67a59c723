package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestStopUnderWrites sends SIGTERM to a node whose clients keep writing to a region that acknowledges from
// memory. It must end in time with exit code 0, and what it acknowledged must be there after the restart.
func TestStopUnderWrites(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{})
	ledger := harness.NewLedger()
	for round := range 3 {
		stop := startWriters(t, ledger, "default", uint64(round), 4, n)
		reach(t, ledger, uint64(round+1)*2000)
		took := n.Stop()
		stop()
		t.Logf("round %d: exit code 0 after %v, %d writes acknowledged", round, took.Round(time.Millisecond), ledger.Acknowledged())
		n.Start()
		mustHold(t, ledger, "default", n)
	}
}

// TestStopWithPeers wants the goodbye: peers know at once, not after a time-out, that a node has left.
func TestStopWithPeers(t *testing.T) {
	t.Parallel()
	cloud, edge, device := startMesh(t)
	device.Do("SET", "last", "words")
	device.Stop()
	harness.Eventually(t, 5*time.Second, "the others see that the device has left", func() error {
		for _, n := range []*harness.Node{cloud, edge} {
			if up := strings.Join(n.MustStatus().Connected(), " "); strings.Contains(up, "device") {
				return fmt.Errorf("%s is connected to %s", n.Name, up)
			}
		}
		return nil
	})
	for _, n := range []*harness.Node{cloud, edge} {
		if got := n.Do("GET", "last"); got != "words" {
			t.Errorf("%s has %v of the last write before SIGTERM", n.Name, got)
		}
	}
}

// startWriters writes to every node with so many connections each, until the returned function is called.
func startWriters(t *testing.T, ledger *harness.Ledger, region string, seed uint64, connections int, nodes ...*harness.Node) (stop func()) {
	t.Helper()
	return startLongWriters(t, ledger, region, seed, connections, 0, nodes...)
}

// startLongWriters lets some values be long, up to longMax bytes.
func startLongWriters(t *testing.T, ledger *harness.Ledger, region string, seed uint64, connections, longMax int, nodes ...*harness.Node) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, n := range nodes {
		for i := range connections {
			id := fmt.Sprintf("%d.%s.%d", seed, n.Name, i)
			w := &harness.Writer{Node: n, Region: region, ID: id, Ledger: ledger, Seed: seed<<8 | uint64(i), Pause: writerPause, LongMax: longMax}
			wg.Go(func() {
				if err := w.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

// writerPause leaves the machine to the daemons: what is tested is not throughput.
const writerPause = time.Millisecond

// reach waits until so many writes are acknowledged.
func reach(t *testing.T, ledger *harness.Ledger, writes uint64) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "acknowledged writes", func() error {
		if got := ledger.Acknowledged(); got < writes {
			return fmt.Errorf("%d of %d", got, writes)
		}
		return nil
	})
}

// mustHold reads everything at every node and compares it with the ledger.
func mustHold(t *testing.T, ledger *harness.Ledger, region string, nodes ...*harness.Node) {
	t.Helper()
	const shown = 10
	for _, n := range nodes {
		c := n.Dial()
		if _, err := c.Do("SELECT", region); err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		wrong, err := ledger.Check(c)
		c.Close()
		if err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		wrong = append(wrong, ledger.CheckContext(n.MustRegion(region).Context)...)
		if len(wrong) > 0 {
			t.Fatalf("%s: %d things are wrong, such as\n%s", n.Name, len(wrong), strings.Join(wrong[:min(shown, len(wrong))], "\n"))
		}
	}
}
