package daemon

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// notifySystemd tells the service manager about a change of state, such as READY=1. Without one it does
// nothing. See sd_notify(3).
func notifySystemd(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:] // the abstract name space
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("daemon: notify systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("daemon: notify systemd: %w", err)
	}
	return nil
}
