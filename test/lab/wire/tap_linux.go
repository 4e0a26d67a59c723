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
func OpenTAP(namespace, name string) (tap *TAP, err error) {
	err = Inside(namespace, func() error {
		fd, err := makeTAP(name)
		if err == nil {
			tap = &TAP{os.NewFile(uintptr(fd), "tap "+name)}
		}
		return err
	})
	return tap, err
}

// Inside runs do on a thread that is in the network namespace at path. What do opens belongs to that namespace for good: sockets
// too.
func Inside(namespace string, do func() error) error {
	done := make(chan error, 1) // one answer, never blocks
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which is now elsewhere, ends with the goroutine
		err := enter(namespace)
		if err == nil {
			err = do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("wire: in the namespace %s: %w", namespace, err)
	}
	return nil
}

func enter(namespace string) error {
	fd, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

// makeTAP makes a card where the calling thread is.
func makeTAP(name string) (fd int, err error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("/dev/net/tun: %w", err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("card %s: %w", name, err)
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
