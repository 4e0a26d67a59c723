package persist

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/dgraph-io/ristretto/v2/z"
)

// ErrPlatform: this program cannot keep a store on this machine.
var ErrPlatform = errors.New("persist: no store can be kept by this program on this machine")

const probeName = "PROBE"

// checkMaps makes sure that a mapped file can change its size. On riscv64 the mremap of ristretto (v2.2.0 to v2.4.1) takes every change for a failure,
// which a store would learn when its value log begins a new file, or at the start after a kill. deploy/modules has what it takes.
func checkMaps(dir string) error {
	if runtime.GOARCH != "riscv64" {
		return nil
	}
	return probeMaps(dir)
}

func probeMaps(dir string) error {
	path := filepath.Join(dir, probeName)
	m, err := z.OpenMmapFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 2*os.Getpagesize())
	if !errors.Is(err, z.NewFile) {
		return fmt.Errorf("persist: map %s: %w", path, err)
	}
	if err := m.Truncate(int64(os.Getpagesize())); err != nil {
		return errors.Join(fmt.Errorf("%w: a mapped file cannot change its size (%w); build it for %s as 'make cross' does", ErrPlatform, err, runtime.GOARCH),
			m.Fd.Close(), os.Remove(path))
	}
	if err := m.Delete(); err != nil {
		return fmt.Errorf("persist: remove %s: %w", path, err)
	}
	return nil
}
