package netns

import (
	"testing"

	"github.com/edgemem/edgemem/test/lab/history"
)

// TestTamperingIsCaught writes behind the history's back what it must not find: a laboratory that cannot fail proves nothing.
func TestTamperingIsCaught(t *testing.T) {
	t.Parallel()
	s := newSite(t, "device")
	slot := func(kind history.Kind, key, item string) history.Slot {
		return history.Slot{Region: region, Kind: kind, Key: key, Item: item}
	}
	text, member, field, counter := slot(history.String, "s:x", ""), slot(history.Set, "m:x", "1"), slot(history.Hash, "h:x", "1"), slot(history.Counter, "c:x", "")
	s.record(s.node("cloud"),
		history.Op{Slot: text, Value: "first"}, history.Op{Slot: text, Value: "second"},
		history.Op{Slot: member, Value: history.Present}, history.Op{Slot: member, Action: history.Remove},
		history.Op{Slot: field, Value: "v"}, history.Op{Slot: counter, Action: history.Add, Number: 5})
	s.converge("six writes", s.nodes...)
	s.check(0, s.nodes...)
	for _, c := range []struct {
		want     history.Fault
		do, undo []string
	}{
		{history.Lost, []string{"DEL", "s:x"}, []string{"SET", "s:x", "second"}},
		{history.Stale, []string{"SET", "s:x", "first"}, []string{"SET", "s:x", "second"}},
		{history.Returned, []string{"SADD", "m:x", "1"}, []string{"SREM", "m:x", "1"}},
		{history.Lost, []string{"HDEL", "h:x", "1"}, []string{"HSET", "h:x", "1", "v"}},
		{history.Count, []string{"INCR", "c:x"}, []string{"DECR", "c:x"}},
		{history.Count, []string{"DECR", "c:x"}, []string{"INCR", "c:x"}},
		{history.Invented, []string{"SADD", "m:x", "2"}, []string{"SREM", "m:x", "2"}},
		{history.Invented, []string{"SET", "other", "x"}, []string{"DEL", "other"}},
	} {
		s.node("device").Do(c.do...)
		s.converge("tampering", s.nodes...)
		found := s.wrong(0, s.nodes...)
		if len(found) != 1 || found[0].Kind != c.want {
			t.Errorf("%q: the checker found %v, want one that is %s", c.do, found, c.want)
		}
		s.node("device").Do(c.undo...)
		s.converge("repair", s.nodes...)
	}
	s.check(0, s.nodes...)
	s.net.part(hosts(s.group("cloud")), hosts(s.group("device")))
	s.node("device").Do("SET", "s:x", "third")
	if found := s.wrong(0, s.nodes...); len(found) == 0 || found[0].Kind != history.Unequal {
		t.Errorf("two nodes differ, and the checker found %v", found)
	}
}

// record sends operations to a node in one session.
func (s *site) record(m *member, ops ...history.Op) {
	s.t.Helper()
	s.runs++
	life, _ := m.now()
	if broken, err := send(s.log, m.Dial(), s.log.Session("the test", life), ops); broken || err != nil {
		s.t.Fatal(broken, err)
	}
}
