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
		wanted  Wish
		bits    int
		budget  int64 // MiB
		reserve int64
		golimit int64
		warns   bool
	}{
		{"device, 64 MiB", Limit{Bytes: 64 * mib, From: "memory.max"}, Wish{}, 64, 17, 1, 26, false},
		{"device, 32 MiB", Limit{Bytes: 32 * mib, From: "memory.max"}, Wish{}, 64, 8, 1, 24, true},
		{"edge, 512 MiB", Limit{Bytes: 512 * mib, From: "memory.max"}, Wish{}, 64, 353, 22, 116, false},
		{"edge, 4 GiB", Limit{Bytes: 4 * gib, From: "memory.max"}, Wish{}, 64, 2867, 179, 1007, false},
		{"whole machine, 8 GiB", Limit{8 * gib, "physical memory", true}, Wish{}, 64, 4915, 256, 2851, false},
		{"32 bits, 8 GiB", Limit{8 * gib, "physical memory", true}, Wish{}, 32, 1228, 76, 700, false},
		{"32 bits, unknown", Limit{}, Wish{}, 32, 1433, 89, 495, false},
		{"unknown", Limit{}, Wish{}, 64, 256, 16, 0, false},
		{"as wanted", Limit{Bytes: gib}, Wish{Regions: 100 * mib}, 64, 100, 6, 856, false},
		{"of a machine", Limit{8 * gib, "physical memory", true}, Wish{Node: 512 * mib}, 64, 311, 19, 132, false},
		{"of a machine, little", Limit{8 * gib, "physical memory", true}, Wish{Node: 64 * mib}, 64, 16, 1, 25, false},
		{"of it, so much for regions", Limit{8 * gib, "physical memory", true}, Wish{512 * mib, 200 * mib}, 64, 200, 12, 244, false},
		{"more than the cgroup has", Limit{Bytes: 512 * mib}, Wish{Node: gib}, 64, 353, 22, 116, false},
		{"too much wanted", Limit{Bytes: gib}, Wish{Regions: 1000 * mib}, 64, 1000, 62, 24, true},
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
		p := PlanFor(Limit{Bytes: all}, Wish{}, true, 64)
		if p.Budget+p.GoLimit > all || p.Budget <= 0 || p.Reserve <= 0 || p.Reserve > p.Budget/4 || p.Warning != "" {
			t.Errorf("%d MiB are divided into %+v", all/mib, p)
		}
		if p.Budget < last.Budget || p.GoLimit < last.GoLimit-mib {
			t.Errorf("with %d MiB there is less than before: %+v, %+v", all/mib, p, last)
		}
		if shared := PlanFor(Limit{Bytes: all, Shared: true}, Wish{}, true, 64); shared.Budget > p.Budget {
			t.Errorf("with %d MiB a shared machine gives more: %+v, %+v", all/mib, shared, p)
		}
		if onHeap := PlanFor(Limit{Bytes: all}, Wish{}, false, 64); onHeap.GoLimit <= onHeap.Budget {
			t.Errorf("with %d MiB the Go heap cannot hold the budget: %+v", all/mib, onHeap)
		}
		last = p
	}
}

func TestPlansExplainThemselves(t *testing.T) {
	t.Parallel()
	p := PlanFor(Limit{Bytes: gib, From: "/sys/fs/cgroup/memory.max"}, Wish{}, true, 64)
	if want := "716 MiB, 70 % of 1024 MiB by /sys/fs/cgroup/memory.max"; p.Why != want {
		t.Errorf("%q, want %q", p.Why, want)
	}
	p = PlanFor(Limit{Bytes: 100 * mib, From: "x"}, Wish{Regions: 80 * mib}, true, 64)
	if want := "a budget of 80 MiB and some 40 MiB for the process itself do not fit in 100 MiB by x"; p.Warning != want {
		t.Errorf("%q, want %q", p.Warning, want)
	}
	if p := PlanFor(Limit{}, Wish{}, true, 64); !strings.Contains(p.Why, "no limit is known") {
		t.Errorf("%q", p.Why)
	}
}
