package sim

import (
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// TestSimEvicts: the schedules of values that leave memory see many leave, come back and fail to be read; and they find out if one
// leaves that is not on disk.
func TestSimEvicts(t *testing.T) {
	t.Parallel()
	evicted, returned, unread := 0, 0, 0
	for seed := range uint64(300) {
		w, err := run(generate(aways+seed), everyStep)
		if err != nil {
			report(t, aways+seed)
		}
		evicted, returned, unread = evicted+w.evicted, returned+w.returned, unread+w.unread
	}
	t.Logf("%d values left memory, %d came back, %d times one could not be read", evicted, returned, unread)
	if evicted < 1000 || returned < 150 || unread < 150 {
		t.Errorf("300 schedules: %d values left memory, %d came back, %d times one could not be read", evicted, returned, unread)
	}
	for _, m := range []mode{{mutant: crdt.MutantEvictDirty}, {mutant: crdt.MutantEvictDirty, outcome: true}} {
		seed, found := firstFailure(aways, mutantSeeds, m)
		if !found {
			t.Fatalf("the mutant survives %d schedules, outcome alone: %v", mutantSeeds, m.outcome)
		}
		_, err := run(generate(seed), m)
		t.Logf("seed %d: %v", seed, err)
	}
}
