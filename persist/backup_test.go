package persist_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

var updateGolden = flag.Bool("update", false, "write testdata/backup-*.bin anew")

// regionRecords are the records of some regions as the fabric makes them.
func regionRecords(t testing.TB, names ...string) (recs []crdt.Record) {
	t.Helper()
	for _, name := range names {
		r := crdt.NewRegion(crdt.Config{Name: name, Self: crdt.NewOrigin("node", crdt.Nonce{1})})
		check(t, r.Update(1000, func(tx *crdt.Tx) error {
			for i := range 400 {
				tx.Set(fmt.Sprintf("%s-%03d", name, i), bytes.Repeat([]byte{byte(i)}, 20+random(i)), false)
			}
			return nil
		}))
		recs = append(recs, r.TakeDirty()...)
	}
	return recs
}

// random grows values of some keys, so that blocks have several sizes and the value log is used.
func random(i int) int { return i * i % 3001 }

func backupOf(t testing.TB, s *persist.Store, o persist.Backup) []byte {
	t.Helper()
	var b bytes.Buffer
	rep, err := s.Backup(context.Background(), &b, o)
	check(t, err)
	if rep.Stored != int64(b.Len()) || rep.Records != rep.Of {
		t.Errorf("report %+v of %d bytes", rep, b.Len())
	}
	_, err = persist.CheckBackup(bytes.NewReader(b.Bytes()), nil)
	check(t, err)
	return b.Bytes()
}

func dump(t testing.TB, s *persist.Store) (text string) {
	t.Helper()
	var b strings.Builder
	check(t, s.Load(func(key, value []byte) error { _, err := fmt.Fprintf(&b, "%x=%x\n", key, value); return err }))
	return b.String()
}

var nodeBackup = persist.Backup{Node: "node", Files: []persist.BackupFile{{Name: "id", Data: []byte("key")}}}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T) {
		s := openStore(t, damageConfig(filepath.Join(t.TempDir(), "store")))
		nonce, err := s.NewIncarnation(t.Context(), "node", 0)
		check(t, err)
		check(t, s.Commit(regionRecords(t, "a", "b", "c")))
		check(t, s.Commit([]crdt.Record{{Key: bytes.Repeat([]byte("long"), 10_000), Value: []byte("of a long key")}, {Key: []byte("empty"), Value: []byte{}}}))
		data := backupOf(t, s, nodeBackup)
		if n := bytes.Count(data, []byte("key")); damageConfig(t.TempDir()).Key != nil && n > 0 {
			t.Errorf("the encrypted backup shows a file's content %d times", n)
		}
		for _, c := range []struct {
			name string
			o    persist.Restore
		}{
			{"same", persist.Restore{Key: damageConfig(t.TempDir()).Key}},
			{"into plain", persist.Restore{}},
			{"into another key", persist.Restore{Key: bytes.Repeat([]byte("z"), persist.KeyBytes)}},
			{"as new node", persist.Restore{WithoutNode: true}},
		} {
			o := c.o
			o.BackupKey, o.Dir = damageConfig(t.TempDir()).Key, filepath.Join(t.TempDir(), "restored")
			rep, err := persist.RestoreBackup(t.Context(), bytes.NewReader(data), o)
			check(t, err)
			got := openStore(t, persist.Config{Dir: o.Dir, Key: o.Key})
			if dump(t, got) != dump(t, s) {
				t.Errorf("%s: other records", c.name)
			}
			past, err := got.Incarnations()
			check(t, err)
			if want := map[bool]int{true: 0, false: 1}[o.WithoutNode]; len(past) != want || len(rep.Files) != want || !rep.Whole {
				t.Errorf("%s: starts %v, report %+v", c.name, past, rep)
			}
			next, err := got.NewIncarnation(t.Context(), "node", 0)
			check(t, err)
			if next == nonce {
				t.Errorf("%s: the nonce came back", c.name)
			}
		}
	})
}

// TestBackupIsOneInstant writes pairs of keys that are always equal while backups run.
func TestBackupIsOneInstant(t *testing.T) {
	t.Parallel()
	s := openStore(t, damageConfig(filepath.Join(t.TempDir(), "store")))
	var stop atomic.Bool
	wrote := make(chan int)
	put := func(n int) error {
		recs := make([]crdt.Record, 40)
		for i := range recs {
			recs[i] = crdt.Record{Key: fmt.Appendf(nil, "%02d", i), Value: fmt.Appendf(nil, "%d", n)}
		}
		return s.Commit(recs)
	}
	check(t, put(0))
	go func() {
		n := 1
		for ; !stop.Load() && put(n) == nil; n++ {
		}
		wrote <- n
	}()
	for range 20 {
		data := backupOf(t, s, persist.Backup{})
		dir := filepath.Join(t.TempDir(), "restored")
		_, err := persist.RestoreBackup(t.Context(), bytes.NewReader(data), persist.Restore{Dir: dir})
		check(t, err)
		seen := map[string]bool{}
		got, err := persist.Open(persist.Config{Dir: dir})
		check(t, err)
		check(t, got.Load(func(_, value []byte) error { seen[string(value)] = true; return nil }))
		check(t, got.Close())
		if len(seen) != 1 {
			t.Errorf("one backup shows several commits: %v", seen)
		}
	}
	stop.Store(true)
	t.Logf("%d commits meanwhile", <-wrote)
}

// TestDamagedBackup spoils a backup in every way: it is told, and nothing is left of the restore.
func TestDamagedBackup(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rnd := rand.New(rand.NewPCG(seed, 0))
		key := damageConfig(t.TempDir()).Key
		s := openStore(t, damageConfig(filepath.Join(t.TempDir(), "store")))
		_, err := s.NewIncarnation(t.Context(), "node", 0)
		check(t, err)
		check(t, s.Commit(regionRecords(t, "a", "b", "c", "d")))
		whole := backupOf(t, s, nodeBackup)
		for round := range 60 {
			data, what := bytes.Clone(whole), ""
			switch at := rnd.IntN(len(data)); round % 4 {
			case 0:
				data, what = data[:at], fmt.Sprintf("cut at %d", at)
			case 1:
				data[at] ^= 1 << rnd.IntN(8)
				what = fmt.Sprintf("bit at %d", at)
			case 2:
				n := min(len(data)-at, 1+rnd.IntN(2000))
				for i := range data[at : at+n] {
					data[at+i] ^= 0x55
				}
				what = fmt.Sprintf("%d bytes at %d", n, at)
			case 3:
				data, what = append(data, whole[:1+rnd.IntN(100)]...), "more at the end"
			}
			dir := filepath.Join(t.TempDir(), "restored")
			_, err := persist.RestoreBackup(t.Context(), bytes.NewReader(data), persist.Restore{Dir: dir, BackupKey: key})
			if !errors.Is(err, persist.ErrBackup) && !errors.Is(err, persist.ErrVersion) && !errors.Is(err, persist.ErrKey) {
				t.Errorf("%s: %v, want ErrBackup", what, err)
			}
			if _, err := os.Lstat(dir); !os.IsNotExist(err) {
				t.Errorf("%s: something is left: %v", what, err)
			}
		}
	})
}

// TestPartialRestore spoils one block of records: regions that it touched go, the others are whole.
func TestPartialRestore(t *testing.T) {
	t.Parallel()
	s := openStore(t, damageConfig(filepath.Join(t.TempDir(), "store")))
	check(t, s.Commit(regionRecords(t, "a", "b", "c", "d", "e", "f")))
	data := backupOf(t, s, persist.Backup{})
	restore := func(data []byte, keep bool) (persist.RestoreReport, int) {
		dir := filepath.Join(t.TempDir(), "restored")
		rep, err := persist.RestoreBackup(t.Context(), bytes.NewReader(data), persist.Restore{Dir: dir, Partial: true, KeepTorn: keep})
		check(t, err)
		return rep, count(t, openStore(t, persist.Config{Dir: dir}))
	}
	all := count(t, s)
	spoiled := bytes.Clone(data)
	spoiled[len(data)/2] ^= 1
	rep, n := restore(spoiled, false)
	torn := 0
	for _, r := range rep.Dropped {
		torn += r.Records
	}
	if rep.Whole || len(rep.Lost) == 0 || len(rep.Dropped) == 0 || len(rep.Dropped) == 6 || n != int(rep.Records)-torn || n%402 != 0 {
		t.Errorf("%d of %d records, report %+v", n, all, rep)
	}
	if _, kept := restore(spoiled, true); kept != int(rep.Records) {
		t.Errorf("kept %d, want %d", kept, rep.Records)
	}
	if rep, n := restore(data[:len(data)-30], false); rep.Whole || n != all || len(rep.Dropped) != 0 {
		t.Errorf("without its end only: %d of %d records, report %+v", n, all, rep)
	}
	if rep, n := restore(data[:len(data)*2/3], false); rep.Whole || n%402 != 0 || n == 0 || n == all {
		t.Errorf("cut: %d of %d records, report %+v", n, all, rep)
	}
	if rep, n := restore(data, false); !rep.Whole || n != all {
		t.Errorf("sound: %d of %d records, report %+v", n, all, rep)
	}
}

func TestBackupKeys(t *testing.T) {
	t.Parallel()
	s := openStore(t, damageConfig(filepath.Join(t.TempDir(), "encrypted")))
	check(t, s.Commit(one("k", "v")))
	sealed, plain := backupOf(t, s, persist.Backup{}), backupOf(t, s, persist.Backup{Plain: true})
	for _, c := range []struct {
		name string
		data []byte
		key  []byte
		want error
	}{
		{"sealed, its key", sealed, testKey, nil},
		{"sealed, no key", sealed, nil, persist.ErrKey},
		{"sealed, another key", sealed, bytes.Repeat([]byte("x"), persist.KeyBytes), persist.ErrKey},
		{"plain, no key", plain, nil, nil},
		{"plain, a key", plain, testKey, nil},
	} {
		_, err := persist.RestoreBackup(t.Context(), bytes.NewReader(c.data), persist.Restore{Dir: filepath.Join(t.TempDir(), "restored"), BackupKey: c.key})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestBackupStops ends a backup and a restore with their context, and a backup with its writer.
func TestBackupStops(t *testing.T) {
	t.Parallel()
	s := openStore(t, damageConfig(filepath.Join(t.TempDir(), "store")))
	check(t, s.Commit(regionRecords(t, "a", "b", "c")))
	data := backupOf(t, s, persist.Backup{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Backup(ctx, io.Discard, persist.Backup{}); !errors.Is(err, context.Canceled) {
		t.Errorf("backup: %v", err)
	}
	if _, err := persist.RestoreBackup(ctx, bytes.NewReader(data), persist.Restore{Dir: filepath.Join(t.TempDir(), "r")}); !errors.Is(err, context.Canceled) {
		t.Errorf("restore: %v", err)
	}
	r, w := io.Pipe()
	go func() { io.CopyN(io.Discard, r, 1000); r.CloseWithError(io.ErrClosedPipe) }()
	if _, err := s.Backup(t.Context(), w, persist.Backup{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writer gone: %v", err)
	}
}

// TestGoldenBackups restores what earlier versions wrote.
func TestGoldenBackups(t *testing.T) {
	t.Parallel()
	files := map[string]persist.Backup{"backup-1-plain.bin": {By: "edgemem test", Name: "gold", Node: "node", Files: nodeBackup.Files, Plain: true},
		"backup-1-encrypted.bin": {By: "edgemem test", Name: "gold", Node: "node", Files: nodeBackup.Files}}
	for name, o := range files {
		path := filepath.Join("testdata", name)
		if *updateGolden {
			config := damageConfig(filepath.Join(t.TempDir(), "encrypted"))
			config.Now = func() time.Time { return time.Unix(1_800_000_000, 0) }
			s := openStore(t, config)
			_, err := s.NewIncarnation(t.Context(), "node", 0)
			check(t, err)
			check(t, s.Commit([]crdt.Record{{Key: []byte("k1"), Value: []byte("v1")}, {Key: []byte("k2"), Value: bytes.Repeat([]byte("v2"), 5000)}}))
			check(t, os.MkdirAll("testdata", 0o755))
			check(t, os.WriteFile(path, backupOf(t, s, o), 0o644))
		}
		data, err := os.ReadFile(path)
		check(t, err)
		dir := filepath.Join(t.TempDir(), "restored")
		rep, err := persist.RestoreBackup(t.Context(), bytes.NewReader(data), persist.Restore{Dir: dir, BackupKey: testKey})
		check(t, err)
		s := openStore(t, persist.Config{Dir: dir})
		past, err := s.Incarnations()
		check(t, err)
		if n := count(t, s); n != 2 || rep.Node != "node" || rep.About.Name != "gold" || len(past) != 1 || string(rep.Files[0].Data) != "key" {
			t.Errorf("%s: %d records, starts %v, report %+v", name, n, past, rep)
		}
	}
}
