package fabric

import (
	"reflect"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	policy "github.com/edgemem/edgemem/tiers/place"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// FuzzReport: what a member tells of use is read or refused, and reads back.
func FuzzReport(f *testing.F) {
	f.Add(appendReport(nil, pressure.Demote, []useReport{
		{crdt.RegionID{1}, []policy.Use{{Consumer: "edge-1", Reads: 7, Writes: 1, ReadBytes: 700, Written: 1 << 30}}}, {crdt.RegionID{2}, nil},
	}))
	f.Add([]byte{0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		level, list, err := decodeReport(b)
		if err != nil {
			return
		}
		level2, again, err := decodeReport(appendReport(nil, level, list))
		if err != nil || level2 != level || !reflect.DeepEqual(again, list) {
			t.Errorf("%v reads back as %v, %v", list, again, err)
		}
	})
}

// FuzzMoveOrder: what a member asks for is read or refused.
func FuzzMoveOrder(f *testing.F) {
	f.Add(moveOrder{crdt.RegionID{7}, true, 1 << 20}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := decodeMove(b)
		if err != nil {
			return
		}
		if again, err := decodeMove(o.append(nil)); err != nil || again != o {
			t.Errorf("%+v reads back as %+v, %v", o, again, err)
		}
	})
}

// FuzzExplainRequest: what a member asks is read or refused, and a placement that is tried is one that could be written.
func FuzzExplainRequest(f *testing.F) {
	b, err := explainRequest{"maps", &Placement{Kind: "demand", MinCopies: 2, Tiers: []string{"edge"}}}.append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\x04maps"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := decodeExplain(b)
		if err != nil {
			return
		}
		if q.try != nil && q.try.check() != nil {
			t.Errorf("%+v", q.try)
		}
		again, err := q.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if q2, err := decodeExplain(again); err != nil || q2.region != q.region || (q2.try == nil) != (q.try == nil) {
			t.Errorf("%+v reads back as %+v, %v", q, q2, err)
		}
	})
}

// FuzzExplanation: what a decider says is fit for a terminal, or refused.
func FuzzExplanation(f *testing.F) {
	f.Add([]byte(`{"region":"maps","decider":{"id":"a","name":"\u001b]0;x"},"consumers":[{"id":"\u0007"}],"nodes":[{"id":"a","name":"\u001b[2J"}],"decisions":[{"why":"x","move":"none"}],"planned":[{"node":"b"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeExplanation(b)
		if err != nil {
			return
		}
		if h := x.Decider; h != nil && shown(h.Name) != h.Name {
			t.Errorf("%+v", h)
		}
		for _, n := range x.Nodes {
			if shown(n.Name) != n.Name || shown(n.Refused) != n.Refused {
				t.Errorf("%+v", n)
			}
		}
		for _, m := range x.Decisions {
			if brief(m.Why) != m.Why {
				t.Errorf("%+v", m)
			}
		}
	})
}

// FuzzMoved: so is what stands in the catalogue.
func FuzzMoved(f *testing.F) {
	f.Add([]byte(`{"at":"2026-01-02T03:04:05Z","move":"promote","node":"a","by":"b","rule":"rent-or-buy","why":"\u001b"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parseMoved(b); ok && (brief(m.Why) != m.Why || shown(string(m.Node)) != string(m.Node)) {
			t.Errorf("%+v", m)
		}
	})
}

// FuzzLink: what a node says of its link is read as something that it could have said.
func FuzzLink(f *testing.F) {
	f.Add("2000 12500000 edge-1")
	f.Add("0 0 ")
	f.Add("-1 x")
	f.Fuzz(func(t *testing.T, text string) {
		l := parseLink([]byte(text))
		if l == nil {
			return
		}
		if again := parseLink(l.encode()); again == nil || *again != *l || l.rtt < 0 || l.rtt > linkRTTMax {
			t.Errorf("%+v reads back as %+v", l, again)
		}
	})
}

// TestLinksAreSaidWhenTheyChange: by more than half, and what is prized by labels.
func TestLinksAreSaidWhenTheyChange(t *testing.T) {
	l := &linkNote{"a", 10 * time.Millisecond, 1e6}
	for _, x := range []struct {
		was  *linkNote
		near bool
	}{
		{nil, false}, {&linkNote{"a", 6 * time.Millisecond, 1.9e6}, true}, {&linkNote{"b", 10 * time.Millisecond, 1e6}, false},
		{&linkNote{"a", 4 * time.Millisecond, 1e6}, false}, {&linkNote{"a", 10 * time.Millisecond, 0}, false},
	} {
		if got := l.near(x.was); got != x.near {
			t.Errorf("%+v: %v", x.was, got)
		}
	}
	var none *linkNote
	for labels, want := range map[string]policy.Link{
		"":                      {RTT: linkRTTUsual, Bandwidth: linkRate},
		"metered=yes":           {RTT: linkRTTUsual, Bandwidth: linkRate, Money: meteredPrice},
		"battery=2,metered=0.5": {RTT: linkRTTUsual, Bandwidth: linkRate, Money: 0.5, Energy: 2},
		"battery=no":            {RTT: linkRTTUsual, Bandwidth: linkRate},
	} {
		if got := none.cost(decodeLabels(labels)); got != want {
			t.Errorf("%s: %+v", labels, got)
		}
	}
	if got := (&linkNote{"a", time.Microsecond, 5}).cost(nil); got.RTT != linkRTTLeast || got.Bandwidth != 5 {
		t.Errorf("%+v", got)
	}
}
