package mixed

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestUpgradeAndBack takes one data directory from yesterday's program to today's, back, and forth again, ended by
// SIGTERM or by kill -9 under load. What was acknowledged is there after each step. The way back may also end with an
// error that says what to do; then the directory is as it was.
func TestUpgradeAndBack(t *testing.T) {
	t.Parallel()
	past := version{"yesterday", old.program(t)}
	for name, end := range map[string]func(n *node){"SIGTERM": func(n *node) { n.Stop() }, "kill -9": func(n *node) { n.Kill() }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ledger := harness.NewLedger()
			n := past.start(t, harness.Options{Name: "moving"})
			n.own("region", "create", safe, "--ack", "disk")
			for step, next := range []version{today, past, today} {
				n.load(ledger, fmt.Sprint("step", step), end)
				n = n.as(next)
				err := n.TryStart()
				if err != nil && next.name == past.name {
					n.wantNewerFormat()
					n = n.as(today)
					err = n.TryStart()
				}
				if err != nil {
					t.Fatalf("today's program does not start on the directory of yesterday's: %v\n%s", err, n.Log())
				}
				n.wantLedger(ledger)
			}
			t.Logf("%d writes were acknowledged, and are there", ledger.Acknowledged())
		})
	}
}

// safe is the region whose writes are on disk when they are acknowledged.
const safe = "safe"

// stepWrites are acknowledged in each step.
const stepWrites = 1000

// load writes to the region safe, and ends the node in the middle of it.
func (n *node) load(l *harness.Ledger, id string, end func(n *node)) {
	n.t.Helper()
	stop := n.writers(l, id, safe)
	defer stop()
	reach(n.t, l, l.Acknowledged()+stepWrites)
	end(n)
}

// writers write to one region until the returned function is called.
func (n *node) writers(l *harness.Ledger, id, region string) (stop func()) {
	n.t.Helper()
	const connections = 2
	ctx, cancel := context.WithCancel(n.t.Context())
	var wg sync.WaitGroup
	for i := range connections {
		w := &harness.Writer{Node: n.Node, Region: region, ID: fmt.Sprintf("%s.%d", id, i), Ledger: l, Seed: uint64(i), Pause: time.Millisecond}
		wg.Go(func() {
			if err := w.Run(ctx); err != nil {
				n.t.Error(err)
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); wg.Wait() })
}

func reach(t *testing.T, l *harness.Ledger, writes uint64) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "acknowledged writes", func() error {
		if got := l.Acknowledged(); got < writes {
			return fmt.Errorf("%d of %d", got, writes)
		}
		return nil
	})
}

// wantLedger reads everything and compares it with what was acknowledged.
func (n *node) wantLedger(l *harness.Ledger) {
	n.t.Helper()
	const shown = 10
	c := n.Dial()
	if _, err := c.Do("SELECT", safe); err != nil {
		n.t.Fatal(err)
	}
	wrong, err := l.Check(c)
	if err != nil {
		n.t.Fatal(err)
	}
	wrong = append(wrong, l.CheckContext(n.MustRegion(safe).Context)...)
	if len(wrong) > 0 {
		n.t.Fatalf("%s, run by %s's program: %d things are wrong, such as\n%s", n.Name, n.v.name, len(wrong), strings.Join(wrong[:min(shown, len(wrong))], "\n"))
	}
}

// wantNewerFormat wants the error of a program that finds data of a later one.
func (n *node) wantNewerFormat() {
	n.t.Helper()
	if log := n.Log(); !regexp.MustCompile(`(?i)newer.*(use a newer|upgrade)`).MatchString(log) {
		n.t.Fatalf("%s's program does not start, and does not say that it needs a newer one:\n%s", n.v.name, log)
	}
	n.t.Logf("there is no way back: %s", n.Log())
}

// TestRollingUpgrade upgrades a fabric of three nodes one by one, while clients write to all that run, then takes one back.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	past := version{"yesterday", old.program(t)}
	join := func(name, tier string) func(string) *node {
		return func(ticket string) *node {
			return past.newNode(t, harness.Options{Name: name, Tier: tier, Join: ticket})
		}
	}
	nodes := fabric(t, past.newNode(t, harness.Options{Name: "cloud", Tier: "cloud"}), join("edge", "edge"), join("device", "device"))
	nodes[0].own("region", "create", safe, "--ack", "disk")
	for _, n := range nodes {
		harness.Eventually(t, harness.Patience, "the region at every node", func() error {
			if _, ok := n.MustStatus().Region(safe); !ok {
				return fmt.Errorf("not at %s", n.Name)
			}
			return nil
		})
	}
	ledger := harness.NewLedger()
	stops := make([]func(), len(nodes))
	for i, n := range nodes {
		stops[i] = n.writers(ledger, n.Name, safe)
	}
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for _, i := range []int{1, 0, 2} {
		reach(t, ledger, ledger.Acknowledged()+stepWrites)
		stops[i]()
		nodes[i].Stop()
		reach(t, ledger, ledger.Acknowledged()+stepWrites) // which it misses
		nodes[i] = nodes[i].as(today)
		nodes[i].Start()
		stops[i] = nodes[i].writers(ledger, nodes[i].Name+" upgraded", safe)
		harness.Connected(t, harness.Patience, len(nodes)-1, plain(nodes)...)
	}
	for _, stop := range stops {
		stop()
	}
	took := harness.Converge(t, harness.Patience, safe, plain(nodes)...)
	for _, n := range nodes {
		n.wantLedger(ledger)
	}
	t.Logf("%d writes were acknowledged during the upgrade, and are at all nodes %v after the last", ledger.Acknowledged(), took)
}
