package sim

import (
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// TestSimCollapses: the schedules with many restarts collapse and forget starts, or they would prove nothing; and they find out
// if what was forgotten below a line leaves no floor.
func TestSimCollapses(t *testing.T) {
	t.Parallel()
	collapsed, forgotten := 0, 0
	for seed := range uint64(300) {
		w, err := run(generate(lines+seed), everyStep)
		if err != nil {
			t.Fatalf("seed %d: %v", lines+seed, err)
		}
		collapsed, forgotten = collapsed+w.collapsed, forgotten+w.forgotten
	}
	if collapsed < 300 || forgotten < 50 {
		t.Errorf("300 schedules collapse %d starts and forget %d of them", collapsed, forgotten)
	}
	t.Logf("%d starts collapsed, %d forgotten", collapsed, forgotten)
	for _, m := range []mode{{mutant: crdt.MutantSilentForget}, {mutant: crdt.MutantSilentForget, outcome: true}} {
		seed, found := firstFailure(lines, mutantSeeds, m)
		if !found {
			t.Fatalf("the mutant survives %d schedules, outcome alone: %v", mutantSeeds, m.outcome)
		}
		_, err := run(generate(seed), m)
		t.Logf("seed %d: %v", seed, err)
	}
}
