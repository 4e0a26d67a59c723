package history

import (
	"slices"
	"strings"
	"testing"
)

// TestSessions injects violations of what each session may rely on.
func TestSessions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		what *story
		says string // of the one fault; empty: none
	}{
		{"read your write", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Read, text, "1", 2, 3), ""},
		{"your write is not there", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Read, text, Absent, 2, 3), "lost"},
		{"in the same pipeline", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Read, text, Absent, 1, 2), "lost"},
		{"your write is hidden by an older one", newStory().do("b", n1, Write, text, "0", 0, 0.5).do("a", n1, Write, text, "1", 1, 2).
			do("a", n1, Read, text, "0", 2, 3), "stale"},
		{"your remove is not there", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Remove, text, "", 2, 3).
			do("a", n1, Read, text, "1", 3, 4), "returned"},
		{"your member is not there", newStory().do("a", n1, Write, member, Present, 1, 2).do("a", n1, Read, member, Absent, 2, 3), "lost"},
		{"another's write at the same node", newStory().do("b", n1, Write, text, "1", 1, 2).do("a", n1, Read, text, Absent, 3, 4), "lost"},
		{"another's write at another node", newStory().do("b", n2, Write, text, "1", 1, 2).do("a", n1, Read, text, Absent, 3, 4), ""},
		{"another's write at the same time", newStory().do("b", n1, Write, text, "1", 1, 4).do("a", n1, Read, text, Absent, 3, 5), ""},
		{"a value before it is written", newStory().do("b", n1, Write, text, "1", 5, 6).do("a", n1, Read, text, "1", 3, 4), "invented"},
		{"your own later write", newStory().do("a", n1, Read, text, "1", 1, 2).do("a", n1, Write, text, "1", 1, 2), "invented"},
		{"reads that go on", newStory().do("b", n2, Write, text, "1", 1, 2).do("c", n2, Write, text, "2", 3, 4).
			do("a", n1, Read, text, "1", 5, 6).do("a", n1, Read, text, "2", 6, 7), ""},
		{"reads that go back", newStory().do("b", n2, Write, text, "1", 1, 2).do("c", n2, Write, text, "2", 3, 4).
			do("a", n1, Read, text, "2", 5, 6).do("a", n1, Read, text, "1", 6, 7), "stale"},
		{"reads that go back to nothing", newStory().do("b", n2, Write, text, "1", 1, 2).
			do("a", n1, Read, text, "1", 5, 6).do("a", n1, Read, text, Absent, 6, 7), "lost"},
		{"after a kill of what was on disk", newStory().do("a", n1, Write, safe, "1", 1, 2).killed(n1, 3).do("b", n1b, Read, safe, Absent, 5, 6), "lost"},
		{"after a kill of what was not", newStory().do("a", n1, Write, text, "1", 1, 2).killed(n1, 3).do("b", n1b, Read, text, Absent, 5, 6), ""},
		{"after a kill of what was not, and came from elsewhere", newStory().do("a", n2, Write, safe, "1", 1, 2).agreed(3, n1, n2).killed(n1, 4).
			do("b", n1b, Read, safe, Absent, 5, 6), ""},
		{"an unanswered read says nothing", newStory().do("a", n1, Write, text, "1", 1, 2).do("a", n1, Read, text, Absent, 2, -1), ""},
		{"a counter", newStory().add("a", n1, Add, 5, 1, 2).add("a", n1, Read, 5, 2, 3), ""},
		{"your increment is not there", newStory().add("a", n1, Add, 5, 1, 2).add("a", n1, Read, 0, 2, 3), "count"},
		{"an increment before its time", newStory().add("b", n2, Add, 5, 4, 5).add("a", n1, Read, 5, 2, 3), "count"},
		{"a counter that shrinks", newStory().add("b", n2, Add, 5, 1, 2).add("a", n1, Read, 5, 2, 3).add("a", n1, Read, 0, 4, 5), "less than"},
		{"a counter at two nodes", newStory().add("b", n2, Add, 5, 1, 2).add("a", n1, Read, 5, 2, 3).add("c", n3, Read, 0, 4, 5), ""},
		{"a counter that shrinks by right", newStory().add("b", n2, Add, -5, 1, 2).add("a", n1, Read, 0, 2, 3).add("a", n1, Read, -5, 4, 5), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found := c.what.log.Check(0, at(1000))
			if c.says == "" && len(found) == 0 {
				return
			}
			if len(found) != 1 || found[0].Kind != OutOfOrder || !strings.Contains(found[0].Text, c.says) {
				t.Errorf("found %v, want one that says %q", found, c.says)
			}
		})
	}
}

// TestReportsReplay checks the same history twice.
func TestReportsReplay(t *testing.T) {
	t.Parallel()
	texts := func() (out []string) {
		h := newStory()
		for i := range 50 {
			slot := Slot{"default", String, string(rune('a' + i)), ""}
			h.do("a", n1, Write, slot, "1", 1, 2)
		}
		for _, v := range h.log.Check(0, at(9), State{Node: "n1"}) {
			out = append(out, v.String())
		}
		return out
	}
	first := texts()
	if len(first) != 50 || !slices.Equal(first, texts()) {
		t.Errorf("two reports of one history differ, or miss some of 50: %d", len(first))
	}
	if want := `lost: string a in default: in the end nothing is there, and no remove can have seen the write of "1" by a at n1#0, 1s to 2s`; first[0] != want {
		t.Errorf("got  %s\nwant %s", first[0], want)
	}
}
