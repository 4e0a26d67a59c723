package history

import (
	"strings"
	"testing"
)

// TestWhatIsThereInTheEnd injects each kind of violation, next to the most similar history that has none.
func TestWhatIsThereInTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []tell{
		{"a write", newStory().do("a", n1, Write, text, "1", 1, 2), text, "1", nil},
		{"a lost write", newStory().do("a", n1, Write, text, "1", 1, 2), text, Absent, []Fault{Lost}},
		{"an unanswered write may be there", newStory().do("a", n1, Write, text, "1", 1, -1), text, "1", nil},
		{"and may not", newStory().do("a", n1, Write, text, "1", 1, -1), text, Absent, nil},
		{"a value from nowhere", newStory().do("a", n1, Write, text, "1", 1, 2), text, "2", []Fault{Invented}},
		{"a key from nowhere", newStory(), text, "2", []Fault{Invented}},

		{"a remove", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Remove, text, "", 3, 4), text, Absent, nil},
		{"a removed element returns", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Remove, text, "", 3, 4), text, "1", []Fault{Returned}},
		{"one that another client removed", newStory().do("a", n1, Write, text, "1", 1, 2).do("b", n1, Remove, text, "", 3, 4), text, "1", []Fault{Returned}},
		{"one that was removed elsewhere, where it may not have been", newStory().do("a", n1, Write, text, "1", 1, 2).do("b", n2, Remove, text, "", 3, 4), text, "1", nil},
		{"one that was removed elsewhere, where it was read", newStory().do("a", n1, Write, text, "1", 1, 2).
			do("b", n2, Read, text, "1", 2, 3).do("b", n2, Remove, text, "", 3, 4), text, "1", []Fault{Returned}},
		{"one that was removed elsewhere, after all agreed", newStory().do("a", n1, Write, text, "1", 1, 2).agreed(3, n1, n2).
			do("b", n2, Remove, text, "", 3, 4), text, "1", []Fault{Returned}},
		{"an unanswered remove may have been in vain", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Remove, text, "", 3, -1), text, "1", nil},
		{"or not", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Remove, text, "", 3, -1), text, Absent, nil},
		{"a remove that came before takes nothing", newStory().do("b", n2, Remove, text, "", 0, 0.5).do("a", n1, Write, text, "1", 1, 2), text, Absent, []Fault{Lost}},

		{"an older value is back", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Write, text, "2", 3, 4), text, "1", []Fault{Stale}},
		{"the later of two far apart", newStory().do("a", n1, Write, text, "1", 1, 2).do("b", n2, Write, text, "2", 3, 4), text, "1", []Fault{Stale}},
		{"either of two at once", newStory().do("a", n1, Write, text, "1", 1, 3).do("b", n2, Write, text, "2", 2, 4), text, "1", nil},
		{"the other of two at once", newStory().do("a", n1, Write, text, "1", 1, 3).do("b", n2, Write, text, "2", 2, 4), text, "2", nil},
		{"a field", newStory().do("a", n1, Write, field, "1", 1, 2).do("a", n1, Write, field, "2", 3, 4), field, "1", []Fault{Stale}},
	} {
		c.run(t)
	}
}

func TestAddsWin(t *testing.T) {
	t.Parallel()
	base := func() *story { return newStory().do("a", n1, Write, member, Present, 1, 2).agreed(3, n1, n2) }
	for _, c := range []tell{
		{"an add against a remove behind a cut", base().apart(4, 9, "n1", "n2").
			do("b", n1, Write, member, Present, 5, 6).do("c", n2, Remove, member, "", 5, 6), member, Present, nil},
		{"that did not win", base().apart(4, 9, "n1", "n2").
			do("b", n1, Write, member, Present, 5, 6).do("c", n2, Remove, member, "", 5, 6), member, Absent, []Fault{Lost}},
		{"without a cut the remove may have seen it", base().
			do("b", n1, Write, member, Present, 5, 6).do("c", n2, Remove, member, "", 5, 7), member, Absent, nil},
		{"a remove after the cut may have seen it", base().apart(4, 6, "n1", "n2").
			do("b", n1, Write, member, Present, 5, 6).do("c", n2, Remove, member, "", 5, 7), member, Absent, nil},
		{"a write before the cut may have been seen", base().apart(5, 9, "n1", "n2").
			do("b", n1, Write, member, Present, 4, 6).do("c", n2, Remove, member, "", 5, 6), member, Absent, nil},
		{"nodes on the same side see each other", base().apart(4, 9, "n1", "n3").
			do("b", n1, Write, member, Present, 5, 6).do("c", n2, Remove, member, "", 5, 6), member, Absent, nil},
		{"a member comes back when every add was seen", base().
			do("b", n2, Remove, member, "", 4, 5), member, Present, []Fault{Returned}},
		{"one add that was not seen is enough", base().do("d", n1, Write, member, Present, 3.5, 5).
			do("b", n2, Remove, member, "", 4, 5), member, Present, nil},
	} {
		c.run(t)
	}
}

// TestWhatAKillMayTake is about regions that answer from memory, and from disk.
func TestWhatAKillMayTake(t *testing.T) {
	t.Parallel()
	early := func() *story { return newStory().do("a", n1, Write, text, "1", 1, 2).killed(n1, 4) }
	late := func() *story { return newStory().do("a", n1, Write, text, "1", 1, 2).killed(n1, 3) }
	for _, c := range []tell{
		{"a write just before", late(), text, Absent, nil},
		{"or not", late(), text, "1", nil},
		{"a write that was on disk by then", early(), text, Absent, []Fault{Lost}},
		{"a write just before that was read elsewhere", late().do("b", n2, Read, text, "1", 2, 3), text, Absent, []Fault{Lost}},
		{"a write just before that was read there long before", newStory().do("a", n1, Write, text, "1", 1, 3).do("b", n1, Read, text, "1", 1.5, 1.9).
			killed(n1, 4), text, Absent, []Fault{Lost}},
		{"or elsewhere, and then killed there as well", late().do("b", n2, Read, text, "1", 2, 3).killed(n2, 3), text, Absent, nil},
		{"a write just before, when others had it", newStory().do("a", n1, Write, text, "1", 1, 2).agreed(2.5, n1, n2).killed(n1, 3), text, Absent, []Fault{Lost}},
		{"a write to disk just before", newStory().do("a", n1, Write, safe, "1", 1, 2).killed(n1, 2), safe, Absent, []Fault{Lost}},
		{"nor one that was read elsewhere", newStory().do("a", n1, Write, safe, "1", 1, 2).do("b", n2, Read, safe, "1", 2, 3).killed(n2, 3), safe, Absent, []Fault{Lost}},
		{"a remove elsewhere, of what was there and not on disk", newStory().do("a", n1, Write, safe, "1", 1, 2).agreed(3, n1, n2).killed(n2, 4).
			do("b", Life{"n2", 1}, Remove, safe, "", 5, 6), safe, "1", nil},
		{"a remove elsewhere, of what was there and on disk", newStory().do("a", n1, Write, safe, "1", 1, 2).agreed(3, n1, n2).killed(n2, 5).
			do("b", Life{"n2", 1}, Remove, safe, "", 5, 6), safe, "1", []Fault{Returned}},
		{"a remove just before", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Remove, text, "", 9, 10).killed(n1, 11), text, "1", nil},
		{"a remove long before", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Remove, text, "", 4, 5).killed(n1, 11), text, "1", []Fault{Returned}},
		{"a remove in the next life", newStory().do("a", n1, Write, text, "1", 1, 2).killed(n1, 11).do("b", n1b, Remove, text, "", 12, 13), text, "1", []Fault{Returned}},
		{"a remove in the next life of what may be lost", late().do("b", n1b, Remove, text, "", 12, 13), text, "1", nil},
	} {
		c.run(t)
	}
}

func TestWhatARollbackMayTake(t *testing.T) {
	t.Parallel()
	base := func() *story {
		return newStory().do("a", n1, Write, safe, "1", 1, 2).do("b", n1b, Write, safe, "2", 5, 6)
	}
	for _, c := range []tell{
		{"what came after the copy", base().rolledBack(n1b, 3), safe, "1", nil},
		{"not what came before", base().rolledBack(n1b, 3), safe, Absent, []Fault{Lost}},
		{"not what others had", base().agreed(7, n1b, n2).rolledBack(n1b, 3), safe, "1", []Fault{Stale}},
		{"nothing that came after the copy was put back", base().rolledBack(n1, 0.5).do("c", n1c, Write, safe, "3", 8, 9), safe, "2", []Fault{Stale}},
		{"nor without it", base(), safe, "1", []Fault{Stale}},
	} {
		c.run(t)
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	base := func() *story { return newStory().add("a", n1, Add, 5, 1, 2).add("b", n2, Add, 3, 1, 2) }
	for _, c := range []tell{
		{"the sum", base(), count, "8", nil},
		{"a lost increment", base(), count, "5", []Fault{Count}},
		{"an increment counted twice", base(), count, "13", []Fault{Count}},
		{"none there", base(), count, Absent, []Fault{Count}},
		{"no number", base(), count, "x", []Fault{Count}},
		{"an unanswered one may count", base().add("a", n1, Add, 2, 3, -1), count, "10", nil},
		{"or not", base().add("a", n1, Add, 2, 3, -1), count, "8", nil},
		{"but not in part of what it is", base().add("a", n1, Add, 2, 3, -1), count, "11", []Fault{Count}},
		{"negative ones", base().add("a", n1, Add, -2, 3, -1), count, "6", nil},
		{"too negative", base().add("a", n1, Add, -2, 3, -1), count, "5", []Fault{Count}},
	} {
		c.run(t)
	}
}

func TestNodesThatDiffer(t *testing.T) {
	t.Parallel()
	h := newStory().do("a", n1, Write, text, "1", 1, 2).do("b", n2, Write, text, "2", 1, 2)
	state := func(node, digest, context, value string) State {
		return State{node, digest, context, map[Slot]string{text: value}}
	}
	for name, c := range map[string]struct {
		second State
		says   string
	}{
		"equal":    {state("n2", "d", "c", "1"), ""},
		"digests":  {state("n2", "e", "c", "1"), "digest"},
		"contexts": {state("n2", "d", "x", "1"), "context"},
		"values":   {state("n2", "d", "c", "2"), "holds"},
		"absence":  {State{"n2", "d", "c", nil}, "holds"},
	} {
		found := h.log.Check(0, at(9), state("n1", "d", "c", "1"), c.second)
		if c.says == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || found[0].Kind != Unequal || !strings.Contains(found[0].String(), c.says) {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestOnlyWhatIsAskedForIsJudged(t *testing.T) {
	t.Parallel()
	h := newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Write, field, "1", 5, 6)
	if found := h.log.Check(at(3), at(9), State{Node: "n1"}); len(found) != 1 || found[0].Slot != field {
		t.Errorf("since 3 s: %v, want the field alone", found)
	}
	if found := h.log.Check(0, at(4), State{Node: "n1"}); len(found) != 1 || found[0].Slot != text {
		t.Errorf("as of 4 s: %v, want the text alone", found)
	}
	if found := h.log.Check(0, at(9), State{Node: "n2"}); len(found) != 0 {
		t.Errorf("at n2 alone, which nothing reached: %v", found)
	}
	if h.log.Answered() != 2 {
		t.Errorf("%d answered, want 2", h.log.Answered())
	}
}
