package p2p

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// networkWatch hears from the kernel, over netlink, when interfaces, addresses and default routes change.
type networkWatch struct {
	f   *os.File
	buf []byte
}

const routeGroups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

func openNetworkWatch() (*networkWatch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: routeGroups}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	return &networkWatch{f: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, 64<<10)}, nil
}

// next waits for a change; the error says that there will be no more word.
func (w *networkWatch) next() error {
	for {
		n, err := w.f.Read(w.buf)
		if errors.Is(err, unix.ENOBUFS) {
			return nil // more changes than the kernel kept
		}
		if err != nil {
			return err
		}
		if matters(w.buf[:n]) {
			return nil
		}
	}
}

// matters skips what hosts full of containers produce all day: interfaces that are not ours to use come up without
// addresses, and routes to single networks come and go.
func matters(data []byte) bool {
	messages, err := syscall.ParseNetlinkMessage(data)
	if err != nil {
		return true
	}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_DELLINK:
			return true
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			if isDefaultRoute(m.Data) {
				return true
			}
		}
	}
	return false
}

// isDefaultRoute reads struct rtmsg: family, length of the destination's prefix, of the source's, service, table.
func isDefaultRoute(data []byte) bool {
	return len(data) > 4 && data[1] == 0 && data[4] == unix.RT_TABLE_MAIN
}

// Close ends next.
func (w *networkWatch) Close() error { return w.f.Close() }
