//go:build !linux

package p2p

import (
	"net"
	"time"
)

// limitSilence has nothing to set here: unacknowledged data is repeated for as long as the kernel likes, unless
// yamux's own limit of 10 s for a write ends the connection.
func limitSilence(net.Conn, time.Duration) {}
