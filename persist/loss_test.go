package persist_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// TestLossIsNoticed loses acknowledged commits in every way that Badger takes for a crash, or does not look at.
func TestLossIsNoticed(t *testing.T) {
	t.Parallel()
	bothWays(t, testLossIsNoticed)
}

func testLossIsNoticed(t *testing.T) {
	killed, closed := newSample(t, true), newSample(t, false)
	newest := func(dir, pattern string) string {
		files, err := filepath.Glob(filepath.Join(dir, "badger", pattern))
		check(t, err)
		return files[len(files)-1]
	}
	older := func(dir string) string {
		files, err := filepath.Glob(filepath.Join(dir, "badger", "*.mem"))
		check(t, err)
		return files[0]
	}
	segment := func(dir string) string {
		files, err := filepath.Glob(filepath.Join(dir, "journal", "*.log"))
		check(t, err)
		return files[len(files)-1]
	}
	for _, c := range []struct {
		name  string
		image string
		spoil func(dir string) error
		says  string
	}{
		{"log removed", killed, func(dir string) error { return os.Remove(newest(dir, "*.mem")) }, "a .mem file was removed"},
		{"log emptied", killed, func(dir string) error { return os.Truncate(newest(dir, "*.mem"), 0) }, "a .mem file was removed, cut or emptied"},
		{"log cut", killed, func(dir string) error { return os.Truncate(newest(dir, "*.mem"), 1_000) }, ".mem: unreadable from byte"},
		{"older of two logs removed", killed, func(dir string) error {
			if _, err := persist.SplitWAL(dir); err != nil {
				return err
			}
			return os.Remove(older(dir))
		}, ".mem: begins at commit"},
		{"older of two logs cut", killed, func(dir string) error {
			if _, err := persist.SplitWAL(dir); err != nil {
				return err
			}
			return os.Truncate(older(dir), 1_000)
		}, ".mem is unreadable from byte"},
		{"journal removed", killed, func(dir string) error { return os.RemoveAll(filepath.Join(dir, "journal")) }, "journal: holds commits up to"},
		{"journal emptied", killed, func(dir string) error { return os.Truncate(segment(dir), 0) }, "journal: holds commits up to"},
		{"journal without its head", killed, func(dir string) error { return flipped(segment(dir), 30) }, ".log: unreadable from byte 0 on"},
		{"journal cut", killed, func(dir string) error { return os.Truncate(segment(dir), 30_000) }, ".log: unreadable from byte"},
		{"journal of another store", killed, func(dir string) error {
			return os.Rename(segment(newSample(t, true)), segment(dir))
		}, ".log: belongs to store"},
		{"journal renamed", killed, func(dir string) error {
			return os.Rename(segment(dir), filepath.Join(dir, "journal", "00000000000000000170.log"))
		}, ".log: begins at commit"},
		{"table removed", closed, func(dir string) error { return os.Remove(newest(dir, "*.sst")) }, ".sst: missing, though MANIFEST lists it"},
		{"table emptied", closed, func(dir string) error { return os.Truncate(newest(dir, "*.sst"), 0) }, ".sst: index unreadable"},
		{"manifest removed", closed, func(dir string) error { return os.Remove(filepath.Join(dir, "badger", "MANIFEST")) }, "MANIFEST: missing"},
		{"manifest cut", closed, func(dir string) error { return os.Truncate(filepath.Join(dir, "badger", "MANIFEST"), 20) }, "MANIFEST: whole up to byte"},
		{"manifest of an empty store", closed, func(dir string) error {
			return os.Truncate(filepath.Join(dir, "badger", "MANIFEST"), 16)
		}, "MANIFEST: whole up to byte 16"},
		{"all of Badger removed", closed, func(dir string) error { return os.RemoveAll(filepath.Join(dir, "badger")) }, "badger: missing, though"},
		{"mark removed", closed, func(dir string) error { return os.Remove(filepath.Join(dir, "MARK")) }, "MARK: missing"},
		{"version removed", closed, func(dir string) error { return os.Remove(filepath.Join(dir, "VERSION")) }, "VERSION: missing"},
		{"mark of another store", closed, func(dir string) error {
			return os.Rename(filepath.Join(newSample(t, false), "MARK"), filepath.Join(dir, "MARK"))
		}, "MARK: belongs to store"},
		{"value log removed", closed, func(dir string) error { return os.Remove(filepath.Join(dir, "badger", "000001.vlog")) }, "a .vlog file is missing"},
		{"key registry", closed, func(dir string) error {
			if damageConfig(dir).Key == nil {
				return os.Remove(filepath.Join(dir, "MARK")) // a plain store has no data key to lose
			}
			return errors.Join(os.Remove(filepath.Join(dir, "badger", "KEYREGISTRY")), os.Remove(filepath.Join(dir, "KEYS")))
		}, ": missing"},
	} {
		if strings.HasPrefix(c.name, "older of two logs") && damageConfig(killed).Key != nil {
			continue // entries are encrypted by their offset: such a pair of logs cannot be made by cutting one in two
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := snapshot(t, c.image)
			check(t, c.spoil(dir))
			before := contents(t, dir)
			for attempt := range 2 { // opening must not heal by forgetting
				err := openAndLoad(dir)
				if !errors.Is(err, persist.ErrDamaged) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "restore the directory") {
					t.Fatalf("attempt %d: %v, want ErrDamaged that says %q", attempt, err, c.says)
				}
			}
			if !strings.Contains(c.name, "value log") && contents(t, dir) != before {
				t.Error("a refused open changed files")
			}
		})
	}
}

func openAndLoad(dir string) error {
	s, err := persist.Open(damageConfig(dir))
	if err != nil {
		return err
	}
	return errors.Join(s.Load(func(_, _ []byte) error { return nil }), s.Close())
}

func contents(t *testing.T, dir string) (text string) {
	t.Helper()
	for _, file := range storeFiles(t, dir) {
		info, err := os.Stat(file)
		check(t, err)
		text += fmt.Sprintln(file, info.Size(), info.ModTime())
	}
	return text
}

// TestTwoLogsAreOneHistory: the split that TestLossIsNoticed spoils is sound before that.
func TestTwoLogsAreOneHistory(t *testing.T) {
	t.Parallel()
	dir := newSample(t, true)
	_, err := persist.SplitWAL(dir)
	check(t, err)
	if n := count(t, openStore(t, damageConfig(dir))); n != 3600 {
		t.Errorf("%d records, want 3600", n)
	}
}

// TestTornTail: what was never acknowledged is cut without a word of damage.
func TestTornTail(t *testing.T) {
	t.Parallel()
	killed := newSample(t, true)
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		dir := snapshot(t, killed)
		files, err := filepath.Glob(filepath.Join(dir, "badger", pattern))
		check(t, err)
		file := files[len(files)-1]
		data, err := os.ReadFile(file)
		check(t, err)
		end := len(strings.TrimRight(string(data), "\x00"))
		copy(data[end+8:], "half of an entry, and garbage \xff\xff\xff\xff\xff\xff\xff\xff\x7f")
		check(t, os.WriteFile(file, data, 0o600))
		if n := count(t, openStore(t, damageConfig(dir))); n != 3600 {
			t.Errorf("%s: %d records, want 3600", pattern, n)
		}
	}
}

// TestInterruptedBatch: a large batch, of one part and of several, that was under way when the process died.
// It is finished if it was durable, and leaves no trace if it was not.
func TestInterruptedBatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		records int
		counts  bool
		want    int
	}{{10_000, true, 10_000}, {60_000, true, 60_000}, {60_000, false, 1}} {
		config := crashConfig(t.TempDir())
		s, err := persist.Open(config)
		check(t, err)
		check(t, s.Commit(one("gone", "1")))
		check(t, persist.Drain(s))
		batch := append(sampleBatch(1, c.records), crdt.Record{Key: []byte("gone")})
		check(t, s.InterruptRedo(persist.SealAll(batch), c.counts))
		config.Dir = snapshot(t, config.Dir)
		check(t, s.Close())
		left := 0
		_, err = persist.Salvage(snapshot(t, config.Dir), nil, func(_, _ []byte) error { left++; return nil })
		check(t, err)
		for range 2 {
			s, err := persist.Open(config)
			check(t, err)
			if n := count(t, s); n != c.want || left != n {
				t.Errorf("%+v: %d records, %d salvaged", c, n, left)
			}
			check(t, s.Close())
		}
	}
}

// TestSalvage gets everything out of sound stores, and the rest out of damaged ones.
func TestSalvage(t *testing.T) {
	t.Parallel()
	bothWays(t, testSalvage)
}

func testSalvage(t *testing.T) {
	for name, c := range map[string]struct {
		killed   bool
		spoil    string
		at       int64
		from, to int // records
		problems bool
	}{
		"sound and killed": {true, "", 0, 3600, 3600, false},
		"sound and closed": {false, "", 0, 3600, 3600, false},
		"log":              {true, "*.mem", 20_000, 2800, 2800, true},
		"journal":          {true, "../journal/*.log", 100_000, 3200, 3590, true},
		"table":            {false, "*.sst", 100_000, 3400, 3599, true},
		"value log":        {false, "*.vlog", 100_000, 3599, 3599, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newSample(t, c.killed)
			if c.spoil != "" {
				files, err := filepath.Glob(filepath.Join(dir, "badger", c.spoil))
				check(t, err)
				flip(t, files[0], c.at)
			}
			last, n := "", 0
			got, err := persist.Salvage(dir, damageConfig(dir).Key, func(key, value []byte) error {
				if n++; string(value) != valueOf(string(key)) || string(key) <= last {
					return fmt.Errorf("key %q after %q has a wrong value, or is out of order", key, last)
				}
				last = string(key)
				return nil
			})
			check(t, err)
			if n < c.from || n > c.to || got.Records != n || (len(got.Problems) > 0) != c.problems {
				t.Errorf("%d records, want %d to %d; report %+v", n, c.from, c.to, got)
			}
		})
	}
}

func flip(t *testing.T, file string, at int64) {
	t.Helper()
	check(t, flipped(file, at))
}

func flipped(file string, at int64) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err = f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], at)
	return err
}
