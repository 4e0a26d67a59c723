package persist

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const lockFileName = "LOCK"

// dirLock is an advisory lock on a file that is never removed: the kernel lets go of it when its holder
// dies, however it dies. The pid inside only serves the message.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("persist: lock %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by %s; stop it, or choose another directory", ErrLocked, dir, holder(f))
		}
		return nil, fmt.Errorf("persist: lock %s: %w", dir, err)
	}
	if err := writePid(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("persist: lock %s: %w", dir, err)
	}
	return &dirLock{f}, nil
}

// Lock holds the directory of a store that no Store has open, until release is called. Error: ErrLocked, and those of a directory
// that is no store.
func Lock(dir string) (release func() error, err error) {
	lock, err := lockExisting(dir)
	if err != nil {
		return nil, err
	}
	return lock.release, nil
}

// lockExisting locks a directory that is there already, and makes none.
func lockExisting(dir string) (*dirLock, error) {
	if _, err := os.Stat(filepath.Join(dir, versionFileName)); err != nil {
		return nil, fmt.Errorf("persist: %s is no store: %w", dir, err)
	}
	return lockDir(dir)
}

func writePid(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func holder(f *os.File) string {
	var buf [32]byte
	n, _ := f.ReadAt(buf[:], 0)
	pid := strings.TrimSpace(string(buf[:n]))
	if _, err := strconv.Atoi(pid); err != nil {
		return "another process"
	}
	return "process " + pid
}

// release unlocks before it closes: a child that is just being forked has a copy of the descriptor,
// and would keep the lock until it executes its program.
func (l *dirLock) release() error {
	return errors.Join(unix.Flock(int(l.f.Fd()), unix.LOCK_UN), l.f.Close())
}
