package daemon

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/unixsock"
)

// ErrListen is wrapped when a local interface cannot be opened; the text names its flag.
var ErrListen = errors.New("daemon: cannot listen")

// listen opens the address of a local interface; nil for one that is off.
func listen(flag, addr string) (net.Listener, error) {
	l, err := open(addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: --%s %s is taken by another process; choose another address, or port 0 for a free one", ErrListen, flag, addr)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: --%s %s is not permitted; ports below 1024 need privileges", ErrListen, flag, addr)
	default:
		return nil, fmt.Errorf("%w: --%s %s: %w", ErrListen, flag, addr, err)
	}
}

func open(addr string) (net.Listener, error) {
	if addr == config.Off {
		return nil, nil
	}
	path, isUnix := strings.CutPrefix(addr, "unix:")
	if !isUnix {
		return net.Listen("tcp", addr)
	}
	if err := refuseLiving(path); err != nil {
		return nil, err
	}
	return unixsock.Listen(path)
}

// refuseLiving protects a socket that another process serves: outside the data directory no lock says
// that it is dead.
func refuseLiving(path string) error {
	c, err := net.DialTimeout("unix", path, 0)
	if err != nil {
		return nil
	}
	c.Close()
	return syscall.EADDRINUSE
}

// address shows where l can be reached, as --resp and --http would have it.
func address(l net.Listener) string {
	if l == nil {
		return config.Off
	}
	if l.Addr().Network() != "unix" {
		return l.Addr().String()
	}
	path, err := filepath.Abs(l.Addr().String())
	if err != nil {
		path = l.Addr().String()
	}
	return "unix:" + path
}
