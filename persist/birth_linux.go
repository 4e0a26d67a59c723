package persist

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// fileBirth gives a file's number, and when it was made, where the file system knows that.
func fileBirth(f *os.File) ([]byte, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint64(nil, st.Ino)
	if st.Mask&unix.STATX_BTIME != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(st.Btime.Sec))
		b = binary.BigEndian.AppendUint32(b, st.Btime.Nsec)
	}
	return b, nil
}
