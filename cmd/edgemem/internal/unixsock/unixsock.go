// Package unixsock listens on and dials unix sockets whose path may be longer than the 108 bytes that
// the kernel's address structure holds, as a data directory deep in a home or a test's scratch space
// easily is. It names the socket through the descriptor of its directory, /proc/self/fd/N/NAME, which
// is always short. Where there is no /proc, only short paths work, and a long one is refused clearly.
package unixsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// maxPathBytes is the kernel's limit, less the final zero; BSD's is four bytes less than Linux's.
const maxPathBytes = 103

// ErrLongPath is returned for a long path where /proc is missing.
var ErrLongPath = errors.New("unixsock: path is too long for a unix socket")

// Listen makes a socket at path that only its owner may use. A socket left there by a process that died
// is replaced, so the caller must know that no living process serves it: the daemon holds the lock of
// its data directory. Anything else at path is an error.
func Listen(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	short, release, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := listenPrivately(short)
	if err != nil {
		return nil, fmt.Errorf("unixsock: listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // it would unlink by the short name, which is gone by then
	return &listener{l, path}, nil
}

func listenPrivately(short string) (*net.UnixListener, error) {
	defer restrictNewFiles()()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(short, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Dial connects to the socket at path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	short, release, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

// listener removes its socket when it closes, and answers for its real address.
type listener struct {
	*net.UnixListener
	path string
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *listener) Close() error {
	err := l.UnixListener.Close()
	if rerr := os.Remove(l.path); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("unixsock: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("unixsock: %s is in the way and is no socket", path)
	}
	return os.Remove(path)
}

// shorten gives a name for path that fits, good until release is called.
func shorten(path string) (short string, release func(), err error) {
	if len(path) <= maxPathBytes {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, fmt.Errorf("unixsock: %w", err)
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil || len(short) > maxPathBytes {
		dir.Close()
		return "", nil, fmt.Errorf("%w: %s", ErrLongPath, path)
	}
	return short, func() { dir.Close() }, nil
}
