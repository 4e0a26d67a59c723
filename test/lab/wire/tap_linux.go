package wire

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// TAP is an Ethernet card of a network namespace whose cable ends in this program.
type TAP struct {
	*os.File
}

// OpenTAP makes a card called name inside the namespace at path, such as /run/netns/NAME. It needs root, and lasts until it is
// closed.
func OpenTAP(namespace, name string) (*TAP, error) {
	type made struct {
		fd  int
		err error
	}
	done := make(chan made, 1) // one answer, never blocks
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which is now elsewhere, ends with the goroutine
		fd, err := tapIn(namespace, name)
		done <- made{fd, err}
	}()
	m := <-done
	if m.err != nil {
		return nil, fmt.Errorf("wire: TAP %s in %s: %w", name, namespace, m.err)
	}
	return &TAP{os.NewFile(uintptr(m.fd), "tap "+name)}, nil
}

// tapIn moves the calling thread into the namespace and makes the card there.
func tapIn(namespace, name string) (fd int, err error) {
	ns, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(ns)
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return 0, err
	}
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("/dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// Carrier pulls the cable out of the card, or puts it back: unlike a cut, its machine notices.
func (t *TAP) Carrier(up bool) error {
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	value := 0
	if up {
		value = 1
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.IoctlSetPointerInt(int(fd), unix.TUNSETCARRIER, value) })
	if err != nil {
		return err
	}
	return failed
}
