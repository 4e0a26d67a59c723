package persist

import (
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync makes what was written to a file durable, and its length where that changed.
func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
