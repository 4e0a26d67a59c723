package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// fillWith writes entries with long keys, which stay in memory whatever happens to values, into a region until one is refused, and gives
// how many were taken and the refusal.
func fillWith(t *testing.T, n *harness.Node, region string, most int) (taken int, refused string) {
	t.Helper()
	c := n.Dial()
	defer c.Close()
	if _, err := c.Do("select", region); err != nil {
		t.Fatal(err)
	}
	for i := range most {
		if _, err := c.Do("set", fmt.Sprint(i, strings.Repeat("k", 4000)), "v"); err != nil {
			return i, err.Error()
		}
	}
	return most, ""
}

// TestPriorities: on a node whose memory runs short a best-effort region is refused first, while a guaranteed one writes, within its
// reservation even when a burstable one is refused too; merges from a node with room go on, and removing lets all write again.
func TestPriorities(t *testing.T) {
	a := harness.Start(t, harness.Options{Name: "a", Tier: "edge", Args: []string{"--region-memory", "4MiB"}})
	b := harness.Start(t, harness.Options{Name: "b", Join: a.Ticket()})
	a.CLI("region", "create", "low", "--priority", "best-effort")
	if out := a.CLI("region", "create", "high", "--priority", "guaranteed", "--reserve", "512KiB"); !strings.Contains(out, "guaranteed, 512 KiB reserved") {
		t.Errorf("create says %q", out)
	}
	low, refused := fillWith(t, a, "low", 2000)
	t.Logf("best-effort: %d writes, then %s", low, refused)
	if !strings.HasPrefix(refused, "OOM ") || !strings.Contains(refused, `region "low"`) || !strings.Contains(refused, "the most for best-effort regions") {
		t.Fatalf("best-effort took %d writes, then %q", low, refused)
	}
	if n, refused := fillWith(t, a, "high", 20); n != 20 {
		t.Errorf("guaranteed took %d writes beside it, then %q", n, refused)
	}
	usual, refused := fillWith(t, a, "usual", 2000)
	t.Logf("burstable: %d more, then %s", usual, refused)
	if usual == 0 || !strings.HasPrefix(refused, "OOM ") {
		t.Errorf("burstable took %d writes, then %q", usual, refused)
	}
	if n, refused := fillWith(t, a, "high", 100); n != 100 {
		t.Errorf("within its reservation guaranteed took %d writes, then %q", n, refused)
	}
	harness.Eventually(t, 20*time.Second, "status tells who is refused", func() error {
		out := a.CLI("status")
		if !strings.Contains(out, "writes are refused to best-effort") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	c := b.Dial()
	if _, err := c.Do("select", "low"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do("set", "from-b", "v"); err != nil {
		t.Fatalf("b has room, and refuses: %v", err)
	}
	harness.Converge(t, 20*time.Second, "low", a, b)
	ca := a.Dial()
	for _, cmd := range [][]string{{"select", "low"}, {"flushdb"}} {
		if _, err := ca.Do(cmd...); err != nil {
			t.Fatalf("%v on a full node: %v", cmd, err)
		}
	}
	harness.Eventually(t, 20*time.Second, "a write where there is room again", func() error {
		_, err := ca.Do("set", "again", "v")
		return err
	})
}

// TestQuotaIsEverywhere: a quota that one node is told holds at all of them, is shown, and what is bad about one is said.
func TestQuotaIsEverywhere(t *testing.T) {
	a := harness.Start(t, harness.Options{Name: "a", Tier: "edge", Args: []string{"--region-memory", "64MiB"}})
	b := harness.Start(t, harness.Options{Name: "b", Join: a.Ticket()})
	a.CLI("region", "create", "tenant", "--ack", "disk")
	a.CLI("region", "create", "tenant", "--quota", "200KiB") // keeps what it does not name
	harness.Eventually(t, 20*time.Second, "the quota at b", func() error {
		out := b.CLI("region", "list")
		if !strings.Contains(out, "burstable, quota 200 KiB") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	n, refused := fillWith(t, b, "tenant", 200)
	if n < 30 || !strings.HasPrefix(refused, "OOM ") || !strings.Contains(refused, "quota") {
		t.Fatalf("%d writes, then %q", n, refused)
	}
	out := b.CLI("region", "show", "tenant")
	for _, want := range []string{"disk", "FULL", "1 writes were refused", "edgemem region create tenant --quota SIZE"} {
		if !strings.Contains(out, want) {
			t.Errorf("region show says %q, without %q", out, want)
		}
	}
	harness.Eventually(t, 20*time.Second, "the alarm at a", func() error {
		if out := a.CLI("alarms"); !strings.Contains(out, "quota") || !strings.Contains(out, `region "tenant"`) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	for _, c := range []struct {
		code int
		args []string
		why  string
	}{
		{2, []string{"--quota", "much"}, "want a size such as 100MiB, or none"},
		{2, []string{"--priority", "high"}, "want guaranteed, burstable or best-effort"},
		{1, []string{"--reserve", "1GiB", "--quota", "none"}, "does not fit"},
		{1, []string{"--reserve", "1MiB"}, "beyond the quota"},
	} {
		r := harness.Edgemem(t, append([]string{"region", "create", "tenant", "--data-dir", a.Dir}, c.args...)...)
		if r.Code != c.code || !strings.Contains(r.Stderr, c.why) {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
	b.CLI("region", "create", "tenant", "--quota", "none")
	if n, refused := fillWith(t, b, "tenant", 100); n != 100 {
		t.Errorf("without a quota: %d writes, then %q", n, refused)
	}
}
