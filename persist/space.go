package persist

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeBytes is what this user may still write on dir's file system.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("persist: free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// checkSpace refuses before Badger touches a page that has no block behind it.
func checkSpace(dir string, needBytes int64) error {
	free, err := freeBytes(dir)
	if err != nil {
		return err
	}
	if free < needBytes {
		return fmt.Errorf("%w: %s has %d bytes free, need %d; make room and try again", ErrFull, dir, free, needBytes)
	}
	return nil
}
