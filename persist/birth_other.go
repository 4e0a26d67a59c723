//go:build !linux

package persist

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// fileBirth gives a file's number.
func fileBirth(f *os.File) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(nil, st.Ino), nil
}
