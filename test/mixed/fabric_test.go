package mixed

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestJoinAndPush joins a node of one version to a fabric of the other, and sends single writes both ways. At least one
// must come as a push: without them the fabric would still converge, a second late.
func TestJoinAndPush(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, founder, other version) {
		a, b := pair(t, founder, other)
		for _, way := range [][2]*node{{a, b}, {b, a}} {
			from, to := way[0], way[1]
			took := harness.Eventually(t, harness.Patience, "a push from "+from.Name+" to "+to.Name, func() error {
				from.Do("INCR", "ticks:"+from.Name)
				if to.counter("pushed") == 0 {
					return fmt.Errorf("%d writes at %s, none of them came as a push", from.counter("local_writes"), from.Name)
				}
				return nil
			})
			t.Logf("the first push from %s after %v", from.Name, took)
		}
		converge(t, a, b)
		for _, n := range []*node{a, b} {
			if log := n.AllLog(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
				t.Errorf("%s complains:\n%s", n.Name, n.Log())
			}
		}
	})
}

// TestEveryType writes every type of the Redis protocol at each node, and reads all of it at both.
func TestEveryType(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, founder, other version) {
		a, b := pair(t, founder, other)
		for _, n := range []*node{a, b} {
			n.writeTypes(n.Name)
			n.own("region", "create", "of-"+n.Name, "--ack", "disk")
		}
		converge(t, a, b)
		for _, reader := range []*node{a, b} {
			reader.wantTypes(a.Name)
			reader.wantTypes(b.Name)
			for _, creator := range []*node{a, b} {
				harness.Eventually(t, harness.Patience, "the region's configuration", func() error {
					if r, ok := reader.MustStatus().Region("of-" + creator.Name); !ok || r.Ack != "disk" {
						return fmt.Errorf("%s has %+v of the region that %s created", reader.Name, r, creator.Name)
					}
					return nil
				})
			}
		}
		a.overwriteTypes(b.Name) // what one version wrote the other one changes, and takes away
		converge(t, a, b)
		b.wantChanged(b.Name)
		a.wantChanged(b.Name)
	})
}

// big is a value that a push does not carry in one piece.
var big = strings.Repeat("0123456789abcdef", 16<<10)

func (n *node) writeTypes(p string) {
	n.t.Helper()
	n.pipeline([][]string{
		{"SET", p + ":string", "v"}, {"APPEND", p + ":string", "w"},
		{"SET", p + ":binary", "\x00\xff\r\n"}, {"SET", p + ":empty", ""}, {"SET", p + ":big", big},
		{"MSET", p + ":m1", "1", p + ":m2", "2"},
		{"SET", p + ":expiring", "v", "EX", "100000"},
		{"SET", p + ":gone", "v"}, {"DEL", p + ":gone"},
		{"INCRBY", p + ":counter", "40"}, {"DECR", p + ":counter"}, {"INCRBYFLOAT", p + ":float", "0.25"},
		{"SADD", p + ":set", "x", "y", "z"}, {"SREM", p + ":set", "y"},
		{"HSET", p + ":hash", "f", "1", "g", "2", "h", "3"}, {"HDEL", p + ":hash", "g"},
		{"HINCRBY", p + ":hash", "count", "7"}, {"HINCRBYFLOAT", p + ":hash", "load", "1.5"},
	})
}

func (n *node) wantTypes(p string) {
	n.t.Helper()
	n.want(map[string]string{
		"GET " + p + ":string": "vw", "GET " + p + ":binary": "\x00\xff\r\n", "GET " + p + ":empty": "", "GET " + p + ":big": big,
		"MGET " + p + ":m1 " + p + ":m2": "[1 2]", "GET " + p + ":expiring": "v", "EXISTS " + p + ":gone": "0",
		"GET " + p + ":counter": "39", "GET " + p + ":float": "0.25",
		"TYPE " + p + ":set": "set", "SMEMBERS " + p + ":set": "[x z]",
		"TYPE " + p + ":hash": "hash", "HVALS " + p + ":hash": "[1 1.5 3 7]", "HKEYS " + p + ":hash": "[count f h load]",
	})
	if ttl := n.Do("TTL", p+":expiring").(int64); ttl < 90_000 || ttl > 100_000 {
		n.t.Errorf("%s: %s:expiring expires in %d s, want a little less than 100000", n.Name, p, ttl)
	}
}

func (n *node) overwriteTypes(p string) {
	n.t.Helper()
	n.pipeline([][]string{
		{"SET", p + ":string", "anew"}, {"PERSIST", p + ":expiring"}, {"GETDEL", p + ":big"}, {"SET", p + ":gone", "back"},
		{"INCR", p + ":counter"}, {"SADD", p + ":set", "y"}, {"SREM", p + ":set", "x"},
		{"HSET", p + ":hash", "f", "9"}, {"HDEL", p + ":hash", "h"}, {"HINCRBY", p + ":hash", "count", "-1"}, {"DEL", p + ":float"},
	})
}

func (n *node) wantChanged(p string) {
	n.t.Helper()
	n.want(map[string]string{
		"GET " + p + ":string": "anew", "TTL " + p + ":expiring": "-1", "EXISTS " + p + ":big": "0", "GET " + p + ":gone": "back",
		"GET " + p + ":counter": "40", "SMEMBERS " + p + ":set": "[y z]", "HVALS " + p + ":hash": "[1.5 6 9]", "EXISTS " + p + ":float": "0",
	})
}

// want runs commands and compares what they answer; lists are sorted first.
func (n *node) want(answers map[string]string) {
	n.t.Helper()
	for line, want := range answers {
		reply := n.Do(strings.Fields(line)...)
		if list, ok := reply.([]any); ok {
			slices.SortFunc(list, func(x, y any) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
		}
		if got := fmt.Sprint(reply); got != want {
			n.t.Errorf("%s: %s answers %.80q, want %.80q", n.Name, line, got, want)
		}
	}
}

const missedWrites = 3000

// TestCatchUp lets each node in turn miss writes that the other makes, while it makes some itself.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, founder, other version) {
		a, b := pair(t, founder, other)
		for _, way := range [][2]*node{{a, b}, {b, a}} {
			stays, leaves := way[0], way[1]
			converge(t, a, b)
			leaves.own("offline")
			prefix := "missed-by-" + leaves.Name
			stays.fill(prefix, "missed", missedWrites)
			stays.conflict("add")
			leaves.conflict("remove")
			since := time.Now()
			leaves.own("online")
			took := harness.Converge(t, harness.Patience, "default", a.Node, b.Node)
			pull := leaves.bigPull(since, missedWrites)
			if pull.Rounds > 2 {
				t.Errorf("%s: %+v, want at most 2 round trips", leaves.Name, pull)
			}
			t.Logf("%s missed %d writes of %s: equal %v after it was on line, %+v", leaves.Name, missedWrites, stays.Name, took, pull)
			for _, n := range []*node{a, b} {
				n.want(map[string]string{
					"GET " + prefix + ":0": "missed", "GET " + prefix + ":2999": "missed",
					"SISMEMBER both:set x": "1", // added while it was removed elsewhere
				})
			}
		}
		a.want(map[string]string{"GET both:counter": "4"})
		b.want(map[string]string{"GET both:counter": "4"})
	})
}

// conflict writes what the other node writes as well, at the same time.
func (n *node) conflict(what string) {
	n.t.Helper()
	n.pipeline([][]string{{"SET", "both:string", n.Name}, {"INCR", "both:counter"}})
	if what == "add" {
		n.pipeline([][]string{{"SADD", "both:set", "x"}})
	} else {
		n.pipeline([][]string{{"SREM", "both:set", "x"}})
	}
}

const (
	// ghostsMax is how many removes the nodes are told to remember.
	ghostsMax = 1024
	// removed is more than that, and kept more than the nodes would rather list than compare.
	removed     = 1500
	kept        = 2000
	overwritten = 50
)

// TestForgottenRemoves lets each node in turn be away while the other one removes so much that it forgets what. They
// then find out by comparing what is alive: one version offers, the other one asks back.
func TestForgottenRemoves(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, founder, other version) {
		a, b := pair(t, founder, other, "--max-ghosts", fmt.Sprint(ghostsMax))
		for _, way := range [][2]*node{{a, b}, {b, a}} {
			stays, leaves := way[0], way[1]
			stays.fill("removed", "v", removed)
			leaves.fill("kept", "v", kept)
			converge(t, a, b)
			leaves.own("offline")
			before := stays.counter("ghosts_pruned")
			stays.remove("removed", removed)
			stays.fill("kept", "w", overwritten)
			leaves.pipeline([][]string{{"SET", "removed:7", "written anew"}, {"SET", "news of " + leaves.Name, "v"}})
			harness.Eventually(t, harness.Patience, "removes that are forgotten", func() error {
				if n := stays.counter("ghosts_pruned") - before; n < removed-ghostsMax {
					return fmt.Errorf("%s has forgotten %d of %d", stays.Name, n, removed)
				}
				return nil
			})
			since := time.Now()
			leaves.own("online")
			took := harness.Converge(t, harness.Patience, "default", a.Node, b.Node)
			pull := leaves.bigPull(since, removed)
			if pull.Rounds < 2 || pull.Rounds > 3 {
				t.Errorf("%s: %+v, want the 2 or 3 round trips of a comparison", leaves.Name, pull)
			}
			t.Logf("%s missed %d removes, some of them forgotten by %s: equal %v after it was on line, %+v", leaves.Name, removed, stays.Name, took, pull)
			for _, n := range []*node{a, b} {
				n.want(map[string]string{"EXISTS removed:0 removed:1 removed:1499": "0", "GET removed:7": "written anew", "GET kept:0": "w", "GET kept:1999": "v"})
			}
			stays.pipeline([][]string{{"DEL", "removed:7"}})
		}
		converge(t, a, b)
		for _, n := range []*node{a, b} {
			if got := n.Do("DBSIZE"); got != int64(kept+2) {
				t.Errorf("%s has %v keys, want the %d that nobody removed", n.Name, got, kept+2)
			}
		}
	})
}
