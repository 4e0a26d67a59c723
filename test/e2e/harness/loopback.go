package harness

import (
	"fmt"
	"os"
	"sync/atomic"
)

var loopbacks atomic.Uint32

// OwnAddress gives multiaddrs, TCP and QUIC, on a loopback address that nobody else uses, for a node that must be
// found under the same address after a restart, as nodes with a configured port are. A free port of
// 127.0.0.1 could be anyone's by then. All of 127.0.0.0/8 is there on Linux without further ado.
func OwnAddress() []string {
	pid, n := os.Getpid(), loopbacks.Add(1)
	ip := fmt.Sprintf("127.%d.%d.%d", 64+pid>>8&63, pid&255, 1+n%250)
	return []string{"/ip4/" + ip + "/tcp/7381", "/ip4/" + ip + "/udp/7381/quic-v1"}
}
