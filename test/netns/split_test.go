package netns

import (
	"fmt"
	"slices"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestSplitBrain parts {device, edge} from {cloud, regional}. Both sides go on by themselves, agree within
// themselves, and write against each other; then the network heals.
func TestSplitBrain(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device", "regional")
	near, far := s.group("device", "edge"), s.group("cloud", "regional")
	prepareConflicts(s.node("cloud"))
	s.write(s.nodes...)
	s.written(500)
	s.rest()
	s.converge("the first writes", s.nodes...)
	harness.Converge(t, *healed, conflicts, s.daemons(s.nodes...)...)

	heal := s.part(near...)
	s.write(s.nodes...)
	writeConflicts(s)
	last(*part)
	s.rest()
	s.converge("the last write on the near side", near...)
	s.check(0, near...)
	s.converge("the last write on the far side", far...)
	s.check(0, far...)
	if got := inConflicts(s.node("device"), []string{"SISMEMBER", "set", "far"})[0]; got != int64(0) {
		t.Fatal("the network was to be parted, and was not")
	}
	heal()
	s.converge(fmt.Sprintf("a partition of %v healed", *part), s.nodes...)
	checkConflicts(s)
	s.check(0, s.nodes...)
	t.Log(s.net.reportWires())
}

// The keys of the conflicts live in a region of their own, so that the history knows all keys of the others.
const conflicts = "conflicts"

func inConflicts(m *member, cmds ...[]string) []any {
	c := m.Dial()
	defer c.Close()
	replies, err := c.Pipeline(append([][]string{{"SELECT", conflicts}}, cmds...))
	if err != nil {
		return []any{err}
	}
	return replies[1:]
}

func prepareConflicts(m *member) {
	inConflicts(m, []string{"SET", "counter", "10"}, []string{"SET", "removed", "10"}, []string{"SADD", "set", "x", "y", "z"},
		[]string{"HSET", "hash", "both", "0", "gone", "0"}, []string{"SET", "register", "before"})
}

func writeConflicts(s *site) {
	inConflicts(s.node("device"), []string{"SET", "register", "near"}, []string{"INCRBY", "counter", "5"}, []string{"SREM", "set", "x", "y"},
		[]string{"SADD", "set", "near"}, []string{"HSET", "hash", "near", "1"}, []string{"DEL", "removed"}, []string{"HDEL", "hash", "gone"})
	inConflicts(s.node("cloud"), []string{"SET", "register", "far"}, []string{"INCRBY", "counter", "-7"}, []string{"SADD", "set", "x"},
		[]string{"SADD", "set", "far"}, []string{"HSET", "hash", "far", "2"}, []string{"INCR", "removed"})
}

// checkConflicts wants what REDIS.md says: an add wins, a remove takes what it saw, fields merge one by one,
// every increment counts once, and of two registers the later one shows, the same everywhere.
func checkConflicts(s *site) {
	s.t.Helper()
	harness.Converge(s.t, *healed, conflicts, s.daemons(s.nodes...)...)
	first := inConflicts(s.nodes[0], []string{"GET", "register"})[0]
	if first != "near" && first != "far" {
		s.t.Errorf("the register is %v, want one of the two concurrent values", first)
	}
	for _, m := range s.nodes {
		got := inConflicts(m, []string{"GET", "register"}, []string{"GET", "counter"}, []string{"SMEMBERS", "set"},
			[]string{"HMGET", "hash", "both", "near", "far", "gone"}, []string{"GET", "removed"})
		members := fmt.Sprint(sorted(got[2]))
		if got[0] != first || got[1] != "8" || members != "[far near x z]" || fmt.Sprint(got[3]) != "[0 1 2 <nil>]" || got[4] != "1" {
			s.t.Errorf("%s: register %v, counter %v, set %s, hash %v, removed %v; want %v, 8, [far near x z], [0 1 2 <nil>], 1",
				m.Name, got[0], got[1], members, got[3], got[4], first)
		}
	}
}

func sorted(reply any) []string {
	var out []string
	for _, m := range reply.([]any) {
		out = append(out, m.(string))
	}
	slices.Sort(out)
	return out
}
