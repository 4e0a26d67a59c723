package fabric

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// entries counts what a context says of a node's starts: of those that have an entry, and of its line.
func entries(c crdt.Context, of crdt.Origin) (starts int, line bool) {
	for id := range c {
		switch {
		case id == of.Line():
			line = true
		case id.Line() == of.Line():
			starts++
		}
	}
	return starts, line
}

// TestRestartsDoNotGrowContexts: a node that restarts for ever is as many entries in all contexts as it keeps starts, in the
// fabric's own regions too, and nothing is lost on the way.
func TestRestartsDoNotGrowContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		hub := node(t, m, "hub")
		d := &drive{}
		const restarts = 60
		for i := range restarts {
			f := stored(t, m, "kiosk", d)
			r := region(t, f, "default")
			if n, err := CounterOf(r, "starts").Add(t.Context(), 1); err != nil || n != int64(i+1) {
				t.Fatalf("start %d counts %d, %v", i+1, n, err)
			}
			set(t, r, fmt.Sprint("of", i), "v")
			churn(t, r, 3)
			time.Sleep(DarkAfter + time.Minute)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		f := stored(t, m, "kiosk", d)
		time.Sleep(DarkAfter + time.Minute)
		set(t, region(t, f, "default"), "last", "v")
		time.Sleep(time.Minute)
		for _, x := range []*Fabric{hub, f} {
			for _, r := range []*Region{region(t, x, "default"), x.roster.r} {
				starts, line := entries(r.core.Context(), f.Origin())
				if starts > endedMax+1 || !line {
					t.Errorf("%s, region %s: %d starts in the context, a line: %v", x.Node(), r.name, starts, line)
				}
				if err := r.core.Audit(); err != nil {
					t.Error(err)
				}
			}
			for i := range restarts {
				if got := get(t, region(t, x, "default"), fmt.Sprint("of", i)); got != "v" {
					t.Errorf("%s: the write of start %d is %q", x.Node(), i, got)
				}
			}
		}
		sameState(t, region(t, hub, "default"), region(t, f, "default"))
		late := node(t, m, "late")
		time.Sleep(time.Minute)
		sameState(t, region(t, hub, "default"), region(t, late, "default"))
	})
}

// TestStartsRestBeforeTheyCollapse: what a member lacks or has beyond us holds up the collapse, and so does an alarm.
func TestStartsRestBeforeTheyCollapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		hub := node(t, m, "hub")
		set(t, region(t, hub, "default"), "hub", "v") // so that it has a record
		d := &drive{}
		for range endedMax {
			f := stored(t, m, "kiosk", d)
			set(t, region(t, f, "default"), "k", "v")
			time.Sleep(time.Minute)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		m.Cut("kiosk", "hub")
		f := stored(t, m, "kiosk", d)
		r := region(t, f, "default")
		set(t, r, "k", "w")
		f.round(f.look()) // the hub was not heard of in this start
		if _, line := entries(r.core.Context(), f.Origin()); line {
			t.Error("starts collapsed although nothing is known of the hub")
		}
		m.Heal("kiosk", "hub")
		time.Sleep(DarkAfter + time.Minute)
		if starts, line := entries(r.core.Context(), f.Origin()); !line || starts > endedMax {
			t.Errorf("%d starts, a line: %v", starts, line)
		}
		if _, line := entries(region(t, hub, "default").core.Context(), f.Origin()); !line {
			t.Error("the hub has no line")
		}
	})
}
