package mixed

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// in runs a command in a region, and gives its answer or error as text.
func (n *node) in(region string, args ...string) string {
	n.t.Helper()
	c := n.Dial()
	defer c.Close()
	if _, err := c.Do("SELECT", region); err != nil {
		return err.Error()
	}
	got, err := c.Do(args...)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(got)
}

func (n *node) awaitIn(region, want string, args ...string) {
	n.t.Helper()
	harness.Eventually(n.t, harness.Patience, fmt.Sprint(args, " at ", n.Name), func() error {
		if got := n.in(region, args...); got != want {
			return fmt.Errorf("%s, want %s", got, want)
		}
		return nil
	})
}

// sameDigest waits until two nodes hold the same of the region; one may not show all of it.
func sameDigest(t *testing.T, a, b *node) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "equal digests", func() error {
		if x, y := a.MustRegion("maps").Digest, b.MustRegion("maps").Digest; x != y {
			return fmt.Errorf("%s and %s", x, y)
		}
		return nil
	})
}

// TestPlacedRegions has a region that need not be everywhere, and a bounded counter, which yesterday's version does not know: it holds the one and keeps
// the other; nothing is lost, nobody gives up a copy that it relies on, and what it cannot do today's node says.
func TestPlacedRegions(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, founder, other version) {
		a, b := pair(t, founder, other)
		now, then := a, b
		if founder.program != "" {
			now, then = b, a
		}
		now.own("region", "create", "maps", "--placement", "demand", "--queue-writes")
		for _, x := range [][]string{{"OK", "SET", "k", "new"}, {"OK", "EM.BOUND", "NEW", "seats", "10", "MIN", "0"}, {"7", "EM.BOUND", "DECR", "seats", "3"}} {
			if got := now.in("maps", x[1:]...); got != x[0] {
				t.Fatalf("%v: %s", x[1:], got)
			}
		}
		then.awaitIn("maps", "new", "GET", "k")
		for i := range 5 {
			if got := then.in("maps", "INCR", "n"); got != fmt.Sprint(i+1) {
				t.Fatalf("INCR: %s", got)
			}
		}
		if got := then.in("maps", "TYPE", "seats"); got != "none" {
			t.Errorf("yesterday's version says that a bounded counter is %s", got)
		}
		now.awaitIn("maps", "5", "GET", "n")
		if r := harness.Edgemem(t, "region", "give-copy", "maps", "--data-dir", now.Dir); r.Code == 0 || !strings.Contains(r.Stderr, "placement of the region does not allow it") {
			t.Errorf("give-copy, where nobody else can vow: exit code %d, %s%s", r.Code, r.Stdout, r.Stderr)
		}
		sameDigest(t, now, then)
		for _, n := range []*node{now, then} {
			n.Stop()
		}
		for _, n := range []*node{then, now} {
			n.Start()
		}
		then.awaitIn("maps", "6", "INCR", "n")
		now.awaitIn("maps", "6", "GET", "n")
		now.awaitIn("maps", "new", "GET", "k")
		if got := now.in("maps", "EM.BOUND", "DECR", "seats"); !strings.HasPrefix(got, "NORIGHTS") {
			t.Errorf("rights that ended with nobody to take them over: %s", got)
		}
		now.in("maps", "EM.BOUND", "RENEW", "seats")
		now.awaitIn("maps", "6", "EM.BOUND", "DECR", "seats")
		sameDigest(t, now, then)
	})
}
