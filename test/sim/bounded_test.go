package sim

import (
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// TestSimBounded: no schedule passes a limit, and the rights of a predecessor, which a start may know from an older disk than the one
// that it left, would.
func TestSimBounded(t *testing.T) {
	t.Parallel()
	count := 1500
	if testing.Short() {
		count = 300
	}
	if seed, found := firstFailure(bounds, count, everyStep); found {
		report(t, seed)
	}
	spent, transfers, generations, ended := 0, 0, 0, 0
	for seed := range uint64(150) {
		w, err := run(generate(bounds+seed), everyStep)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range w.oracle.ledgers {
			generations++
			for _, row := range l.rows {
				spent += int(row.spent)
				transfers += len(row.got)
			}
		}
		for _, x := range w.oracle.writes {
			if x.Kind == crdt.CellBound && x.Tag == crdt.TagRemove {
				ended++
			}
		}
	}
	t.Logf("%d spent in %d generations, %d transfers taken, %d removed", spent, generations, transfers, ended)
	if spent < 800 || transfers < 30 || ended < 100 {
		t.Error("the schedules do too little")
	}
	if _, found := firstFailure(bounds, mutantSeeds, mode{mutant: crdt.MutantHeirs}); !found {
		t.Errorf("who takes the rights of predecessors survives %d schedules", mutantSeeds)
	}
	passed := 0
	for seed := range uint64(500) {
		_, err := run(generate(bounds+seed), mode{mutant: crdt.MutantHeirs, outcome: true})
		if err != nil && strings.Contains(err.Error(), "passes the limit") {
			passed++
		}
	}
	if t.Logf("who takes the rights of predecessors passes the limit in %d of 500 schedules", passed); passed == 0 {
		t.Error("the schedules do not show why rights end with their incarnation")
	}
}
