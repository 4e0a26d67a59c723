package persist_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/edgemem/edgemem/persist"
)

// TestRepairDropsWhatIsTorn spoils a block of a table, or a value, of a store with several regions: a store that is made of the rest has the regions
// that were not touched, whole, and no other.
func TestRepairDropsWhatIsTorn(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "store")
		config := damageConfig(dir)
		s, err := persist.Open(config)
		check(t, err)
		_, err = s.NewIncarnation(t.Context(), "node", 0)
		check(t, err)
		for batch := range slices.Chunk(regionRecords(t, "a", "b", "c", "d", "e", "f"), 40) {
			check(t, s.Commit(batch))
		}
		check(t, persist.Drain(s))
		check(t, s.Close())
		for pattern, at := range map[string]int64{"*.sst": 200_000, "*.vlog": 2_000} {
			image := snapshot(t, dir)
			files, err := filepath.Glob(filepath.Join(image, "badger", pattern))
			check(t, err)
			flip(t, files[0], at)
			before := contents(t, image)
			x, err := persist.Examine(image, config.Key)
			check(t, err)
			var backup bytes.Buffer
			got, err := persist.SalvageBackup(t.Context(), image, config.Key, &backup, persist.Backup{})
			check(t, err)
			if x.Damage == nil || contents(t, image) != before {
				t.Errorf("%s: damage %v, or looking changed files", pattern, x.Damage)
			}
			if len(got.Torn) == 0 || len(got.Torn) > 2 || len(got.Whole)+len(got.Torn) != 6 || len(got.Problems) == 0 {
				t.Fatalf("%s: %+v", pattern, got)
			}
			for _, keep := range []bool{false, true} {
				made := filepath.Join(t.TempDir(), "made")
				rep, err := persist.RestoreBackup(t.Context(), bytes.NewReader(backup.Bytes()), persist.Restore{
					Dir: made, Key: config.Key, BackupKey: config.Key, Salvaged: got, KeepTorn: keep,
				})
				check(t, err)
				repaired := openStore(t, persist.Config{Dir: made, Key: config.Key})
				want := got.Records
				for _, r := range got.Torn {
					if !keep {
						want -= r.Records
					}
				}
				past, err := repaired.Incarnations()
				check(t, err)
				if n := count(t, repaired); n != want || len(rep.Dropped) != len(got.Torn) || len(past) != 1 {
					t.Errorf("%s, keep %v: %d records, want %d; starts %v; %+v", pattern, keep, n, want, past, rep)
				}
			}
		}
	})
}

// TestSalvageStopsAtAGap takes nothing from behind a hole in the journal: the rest would show no instant that ever was. Where Badger's log has one
// none is shown, and all regions are torn.
func TestSalvageStopsAtAGap(t *testing.T) {
	t.Parallel()
	image := newSample(t, true)
	files, err := filepath.Glob(filepath.Join(image, "journal", "*.log"))
	check(t, err)
	flip(t, files[0], 60_000)
	got, err := persist.Salvage(image, nil, func(_, _ []byte) error { return nil })
	check(t, err)
	if got.Commit >= 180 || got.Commit < 160 || got.Acknowledged != 180 || len(got.Problems) == 0 || len(got.Torn) > 0 {
		t.Errorf("up to commit %d of %d: %v", got.Commit, got.Acknowledged, got)
	}
	config := damageConfig(filepath.Join(t.TempDir(), "store"))
	s, err := persist.Open(config)
	check(t, err)
	for batch := range slices.Chunk(regionRecords(t, "a", "b"), 40) {
		check(t, s.Commit(batch))
		check(t, persist.Drain(s))
	}
	image = snapshot(t, config.Dir)
	check(t, s.Close())
	files, err = filepath.Glob(filepath.Join(image, "badger", "*.mem"))
	check(t, err)
	flip(t, files[len(files)-1], 20_000)
	got, err = persist.Salvage(image, nil, func(_, _ []byte) error { return nil })
	check(t, err)
	if len(got.Problems) == 0 || len(got.Torn) == 0 || len(got.Whole) > 0 {
		t.Errorf("a gap in Badger: %+v", got)
	}
}
