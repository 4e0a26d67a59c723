package sim

import (
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// TestSimEvicts: the schedules of values that leave memory see many leave, come back and fail to be read; and they find out if one
// leaves that is not on disk.
func TestSimEvicts(t *testing.T) {
	t.Parallel()
	evicted, returned, unread, packed := 0, 0, 0, 0
	for seed := range uint64(300) {
		w, err := run(generate(aways+seed), everyStep)
		if err != nil {
			report(t, aways+seed)
		}
		evicted, returned, unread, packed = evicted+w.evicted, returned+w.returned, unread+w.unread, packed+w.packed
	}
	t.Logf("%d values were packed, %d left memory, %d came back, %d times one could not be read", packed, evicted, returned, unread)
	if packed < 300 || evicted < 1000 || returned < 150 || unread < 150 {
		t.Errorf("300 schedules: %d values were packed, %d left memory, %d came back, %d times one could not be read", packed, evicted, returned, unread)
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
