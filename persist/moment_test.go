package persist

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

func TestWhatIsMomentary(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want error
	}{
		{nil, nil},
		{syscall.EMFILE, syscall.EMFILE},
		{&fs.PathError{Op: "open", Path: "000001.sst", Err: syscall.ENFILE}, syscall.ENFILE},
		{fmt.Errorf("read: %w", syscall.ENOMEM), syscall.ENOMEM},
		{syscall.EIO, nil},
		{badger.ErrKeyNotFound, nil},
		{&DamageError{Path: "here", Detail: "rust"}, nil},
		{&DamageError{Path: "here", Err: syscall.EMFILE}, syscall.EMFILE},
		{errors.New("EOF"), nil},
	} {
		if got := momentary(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
