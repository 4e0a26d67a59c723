package persist_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgemem/edgemem/persist"
	"github.com/edgemem/edgemem/persist/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, config := range []persist.Config{
		{Profile: persist.ProfileDevice},
		{Profile: persist.ProfileServer},
		{MemtableBytes: 1 << 20, ValueThresholdBytes: 128, MinFreeBytes: 3 << 20},
		{MemtableBytes: 1 << 20, ValueThresholdBytes: 128, MinFreeBytes: 3 << 20, Key: testKey},
	} {
		t.Run(fmt.Sprintf("%s memtable %d key %d", config.Profile, config.MemtableBytes, len(config.Key)), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && config.Profile == persist.ProfileServer {
				t.Skip("SKIPPED in short mode: its memtables take most of the suite's time")
			}
			storetest.Run(t, func(t *testing.T) storetest.Place { return newPlace(t, config) })
		})
	}
}

// place is a directory. A crash moves to a copy of it that is taken while the store is open: the image
// that a killed process leaves.
type place struct {
	t      *testing.T
	config persist.Config
	open   *persist.Store
}

func newPlace(t *testing.T, config persist.Config) *place {
	config.Dir = filepath.Join(t.TempDir(), "store")
	return &place{t: t, config: config}
}

func (p *place) Open() (storetest.Store, error) {
	s, err := persist.Open(p.config)
	if err != nil {
		return nil, err
	}
	p.open = s
	return s, nil
}

func (p *place) Crash() error {
	image := snapshot(p.t, p.config.Dir)
	if err := p.open.Close(); err != nil {
		return err
	}
	p.config.Dir = image
	return nil
}

// snapshot copies a directory as it is at one instant: it starts over when a compaction moved files meanwhile.
func snapshot(t testing.TB, dir string) (image string) {
	t.Helper()
	for {
		image = filepath.Join(t.TempDir(), "image")
		before := listing(t, dir)
		copyTree(t, dir, image)
		if listing(t, dir) == before {
			return image
		}
	}
}

func listing(t testing.TB, dir string) (text string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreMissing(err)
		}
		info, err := e.Info()
		if err == nil {
			text += fmt.Sprintln(path, info.Size(), info.ModTime())
		}
		return ignoreMissing(err)
	}))
	return text
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// copyTree copies files with their holes.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	check(t, os.MkdirAll(to, 0o700))
	entries, err := os.ReadDir(from)
	check(t, err)
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.IsDir() {
			copyTree(t, src, dst)
			continue
		}
		copyFile(t, src, dst)
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if os.IsNotExist(err) {
		return // compacted away since it was listed
	}
	check(t, err)
	defer src.Close()
	dst, err := os.Create(to)
	check(t, err)
	defer dst.Close()
	buf, zeros, size := make([]byte, 4096), make([]byte, 4096), int64(0)
	for {
		n, err := io.ReadFull(src, buf)
		if string(buf[:n]) != string(zeros[:n]) {
			_, err := dst.WriteAt(buf[:n], size)
			check(t, err)
		}
		size += int64(n)
		if err != nil {
			break
		}
	}
	check(t, dst.Truncate(size))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
