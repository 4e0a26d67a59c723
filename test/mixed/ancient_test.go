package mixed

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// otherWire is what a daemon says of messages that it cannot read: which version they have, and what to do.
var otherWire = regexp.MustCompile(`version (\d+), this program reads (\d+): upgrade`)

// TestAnotherWire puts a program that speaks version 1 of the wire into a fabric with today's. Both say so and take
// nothing from each other, both go on to work alone; and doing what the message says helps.
func TestAnotherWire(t *testing.T) {
	t.Parallel()
	past := version{"ancient", older.program(t)}
	for _, order := range [][2]version{{past, today}, {today, past}} {
		t.Run(order[0].name+" founds", func(t *testing.T) {
			t.Parallel()
			a, b := pair(t, order[0], order[1])
			nodes := []*node{a, b}
			for _, n := range nodes {
				n.writeTypes(n.Name)
			}
			awaitComplaints(t, nodes, 1)
			before := [2]harness.Region{a.MustRegion("default"), b.MustRegion("default")}
			awaitComplaints(t, nodes, 2)
			for i, n := range nodes {
				n.wantTypes(n.Name)
				n.wantAlone(before[i], nodes[1-i].Name)
			}
			upgraded := nodes
			for i, n := range nodes {
				if n.v.program != "" {
					n.Stop()
					upgraded[i] = n.as(today)
					upgraded[i].Start()
				}
			}
			converge(t, upgraded...)
			for _, n := range upgraded {
				n.wantTypes(a.Name)
				n.wantTypes(b.Name)
			}
		})
	}
}

// awaitComplaints writes until every node has complained so often about another's messages. It does so once a minute.
func awaitComplaints(t *testing.T, nodes []*node, times int) {
	t.Helper()
	harness.Eventually(t, time.Duration(times)*time.Minute+harness.Patience, "a message that tells of another version", func() error {
		for _, n := range nodes {
			n.Do("INCR", "ticks:"+n.Name)
		}
		for _, n := range nodes {
			found := otherWire.FindAllStringSubmatch(n.AllLog(), -1)
			if len(found) < times {
				return fmt.Errorf("%s has said so %d times:\n%s", n.Name, len(found), n.Log())
			}
			if found[0][1] == found[0][2] {
				t.Fatalf("%s complains of its own version: %q", n.Name, found[0][0])
			}
		}
		return nil
	})
}

// wantAlone wants a replica that has only its own node's writes, and as many entries as before.
func (n *node) wantAlone(before harness.Region, other string) {
	n.t.Helper()
	now := n.MustRegion("default")
	origin := n.Started().Node.Origin
	if len(now.Context) != 1 || now.Context[origin].Base < before.Context[origin].Base || now.Entries != before.Entries {
		n.t.Errorf("%s had %d entries of %v and has %d of %v", n.Name, before.Entries, before.Context, now.Entries, now.Context)
	}
	if got := n.Do("EXISTS", other+":string", other+":set", other+":hash"); got != int64(0) {
		n.t.Errorf("%s has %v entries of %s", n.Name, got, other)
	}
}
