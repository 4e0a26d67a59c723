package machine

import (
	"strings"
	"testing"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

func TestPlans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		limit   Limit
		wanted  int64
		bits    int
		budget  int64 // MiB
		reserve int64
		golimit int64
		warns   bool
	}{
		{"device, 64 MiB", Limit{Bytes: 64 * mib, From: "memory.max"}, 0, 64, 17, 1, 26, false},
		{"device, 32 MiB", Limit{Bytes: 32 * mib, From: "memory.max"}, 0, 64, 8, 1, 24, true},
		{"edge, 512 MiB", Limit{Bytes: 512 * mib, From: "memory.max"}, 0, 64, 353, 22, 116, false},
		{"edge, 4 GiB", Limit{Bytes: 4 * gib, From: "memory.max"}, 0, 64, 2867, 179, 1007, false},
		{"whole machine, 8 GiB", Limit{8 * gib, "physical memory", true}, 0, 64, 4915, 256, 2851, false},
		{"32 bits, 8 GiB", Limit{8 * gib, "physical memory", true}, 0, 32, 1228, 76, 700, false},
		{"32 bits, unknown", Limit{}, 0, 32, 1433, 89, 495, false},
		{"unknown", Limit{}, 0, 64, 256, 16, 0, false},
		{"as wanted", Limit{Bytes: gib}, 100 * mib, 64, 100, 6, 856, false},
		{"too much wanted", Limit{Bytes: gib}, 1000 * mib, 64, 1000, 62, 24, true},
	} {
		p := PlanFor(c.limit, c.wanted, true, c.bits)
		if p.Budget/mib != c.budget || p.Reserve/mib != c.reserve || p.GoLimit/mib != c.golimit || (p.Warning != "") != c.warns {
			t.Errorf("%s: budget %d, reserve %d, Go %d MiB, warning %q, because %s; want %d, %d, %d", c.name,
				p.Budget/mib, p.Reserve/mib, p.GoLimit/mib, p.Warning, p.Why, c.budget, c.reserve, c.golimit)
		}
		if p.Why == "" {
			t.Errorf("%s: no reason", c.name)
		}
	}
}

// TestPlansFit holds for every limit from a small device to a large server.
func TestPlansFit(t *testing.T) {
	t.Parallel()
	var last Plan
	for all := int64(64 * mib); all < 1<<42; all += all / 7 {
		p := PlanFor(Limit{Bytes: all}, 0, true, 64)
		if p.Budget+p.GoLimit > all || p.Budget <= 0 || p.Reserve <= 0 || p.Reserve > p.Budget/4 || p.Warning != "" {
			t.Errorf("%d MiB are divided into %+v", all/mib, p)
		}
		if p.Budget < last.Budget || p.GoLimit < last.GoLimit-mib {
			t.Errorf("with %d MiB there is less than before: %+v, %+v", all/mib, p, last)
		}
		if shared := PlanFor(Limit{Bytes: all, Shared: true}, 0, true, 64); shared.Budget > p.Budget {
			t.Errorf("with %d MiB a shared machine gives more: %+v, %+v", all/mib, shared, p)
		}
		if onHeap := PlanFor(Limit{Bytes: all}, 0, false, 64); onHeap.GoLimit <= onHeap.Budget {
			t.Errorf("with %d MiB the Go heap cannot hold the budget: %+v", all/mib, onHeap)
		}
		last = p
	}
}

func TestPlansExplainThemselves(t *testing.T) {
	t.Parallel()
	p := PlanFor(Limit{Bytes: gib, From: "/sys/fs/cgroup/memory.max"}, 0, true, 64)
	if want := "716 MiB, 70 % of 1024 MiB by /sys/fs/cgroup/memory.max"; p.Why != want {
		t.Errorf("%q, want %q", p.Why, want)
	}
	p = PlanFor(Limit{Bytes: 100 * mib, From: "x"}, 80*mib, true, 64)
	if want := "a budget of 80 MiB and some 40 MiB for the process itself do not fit in 100 MiB by x"; p.Warning != want {
		t.Errorf("%q, want %q", p.Warning, want)
	}
	if p := PlanFor(Limit{}, 0, true, 64); !strings.Contains(p.Why, "no limit is known") {
		t.Errorf("%q", p.Why)
	}
}
