package e2e

import (
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestLedgerCatches tampers with what a node holds in every way that the tortures look for: a checker that
// cannot fail proves nothing.
func TestLedgerCatches(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{})
	ledger := harness.NewLedger()
	c := n.Dial()
	note := func(slot harness.Slot, value string, args ...string) {
		t.Helper()
		try := ledger.Try(slot, value)
		if _, err := c.Do(args...); err != nil {
			t.Fatal(err)
		}
		ledger.Ack(slot, try)
	}
	note(harness.Slot{Kind: harness.String, Key: "s"}, "v", "SET", "s", "v")
	note(harness.Slot{Kind: harness.Set, Key: "m", Item: "a"}, harness.Present, "SADD", "m", "a")
	note(harness.Slot{Kind: harness.Set, Key: "m", Item: "b"}, harness.Present, "SADD", "m", "b")
	note(harness.Slot{Kind: harness.Hash, Key: "h", Item: "f"}, "v", "HSET", "h", "f", "v")
	gone := harness.Slot{Kind: harness.Set, Key: "m", Item: "b"}
	try := ledger.TryRemove(gone)
	n.Do("SREM", "m", "b")
	ledger.Ack(gone, try)
	ledger.TryAdd("n", 5)
	n.Do("INCRBY", "n", "5")
	ledger.AckAdd("n", 5)
	ledger.TryAdd("n", 1) // not acknowledged: 5 and 6 are both right
	ledger.Dots(n.Started().Node.Origin, 6)
	mustHold(t, ledger, "default", n)

	for _, c := range []struct {
		what, says string
		do, undo   []string
	}{
		{"a lost string", "string s", []string{"DEL", "s"}, []string{"SET", "s", "v"}},
		{"an older value", "string s", []string{"SET", "s", "old"}, []string{"SET", "s", "v"}},
		{"a lost member", "set m a", []string{"SREM", "m", "a"}, []string{"SADD", "m", "a"}},
		{"a member that returned", "set m b", []string{"SADD", "m", "b"}, []string{"SREM", "m", "b"}},
		{"a member that nobody added", "nobody wrote", []string{"SADD", "m", "c"}, []string{"SREM", "m", "c"}},
		{"a lost field", "hash h f", []string{"HDEL", "h", "f"}, []string{"HSET", "h", "f", "v"}},
		{"a lost increment", "counter n", []string{"DECR", "n"}, []string{"INCR", "n"}},
		{"an increment counted twice", "counter n", []string{"INCRBY", "n", "5"}, []string{"DECRBY", "n", "5"}},
		{"a key that nobody wrote", `key "x"`, []string{"SET", "x", "y"}, []string{"DEL", "x"}},
	} {
		n.Do(c.do...)
		wrong, err := ledger.Check(n.Dial())
		if err != nil || len(wrong) != 1 || !strings.Contains(wrong[0], c.says) {
			t.Errorf("%s: the ledger says %q, %v; want %s", c.what, wrong, err, c.says)
		}
		n.Do(c.undo...)
	}
	mustHold(t, ledger, "default", n)
	ledger.Dots(n.Started().Node.Origin, 1_000_000)
	if wrong := ledger.CheckContext(n.MustRegion("default").Context); len(wrong) != 1 {
		t.Errorf("a million dots that were never made: the ledger says %q", wrong)
	}
}
