package persist

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// FreeBytes is what this user may still write on the file system of dir.
func FreeBytes(dir string) (int64, error) { return freeBytes(dir) }

// freeBytes is what this user may still write on dir's file system.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("persist: free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// checkSpace refuses before Badger touches a page that has no block behind it.
func (s *Store) checkSpace(needBytes int64) error {
	free, err := s.config.free(s.dir)
	if err != nil {
		return err
	}
	if free < needBytes {
		return &FullError{s.dir, free, needBytes}
	}
	return nil
}

// RoomForRemoves says why there is no room for CommitRemoves, or nil.
func (s *Store) RoomForRemoves() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.checkSpace(s.config.MinFreeBytes / 2)
}

// Room says why there is no room for a commit, or nil. Once it has said so it wants an eighth more, so that a disk at the edge does not
// change its mind with every commit. Error: a *FullError, or the file system's.
func (s *Store) Room() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	need := s.config.MinFreeBytes
	if s.full.Load() {
		need += need / 8
	}
	err := s.checkSpace(need)
	s.full.Store(errors.Is(err, ErrFull))
	if errors.Is(err, ErrFull) {
		s.kick()
	}
	return err
}
