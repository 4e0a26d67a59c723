package sim

import "testing"

// forkSeeds is how many schedules with snapshots of memory are played.
const forkSeeds = 2000

// TestSimForks: machines that were put back to a snapshot lose nothing and resurrect nothing, once they meet a peer.
func TestSimForks(t *testing.T) {
	t.Parallel()
	forked, reborn, mended := 0, 0, 0
	for seed := range uint64(forkSeeds) {
		w, err := playForks(seed)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		forked, reborn, mended = forked+w.forked, reborn+w.reborn, mended+w.mended
	}
	if forked == 0 || reborn == 0 || mended == 0 {
		t.Errorf("%d forks, %d new lives, %d writes mended: the schedules do not reach them", forked, reborn, mended)
	}
	t.Logf("%d schedules: %d machines put back behind their own writes, %d new lives, %d writes mended", forkSeeds, forked, reborn, mended)
}
