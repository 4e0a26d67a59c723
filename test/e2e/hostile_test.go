package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// hostileRESP are byte strings that no client sends, each with what must come back; empty means that the
// connection may just end.
var hostileRESP = []struct{ name, send, want string }{
	{"array of a billion", "*1000000001\r\n", "-ERR Protocol error"},
	{"array of minus two", "*-2\r\n*1\r\n$4\r\nPING\r\n", ""},
	{"array length is no number", "*abc\r\n", "-ERR Protocol error"},
	{"bulk beyond what a query may be", "*2\r\n$3\r\nGET\r\n$999999999999\r\n", "-ERR Protocol error"},
	{"bulk of a negative length", "*1\r\n$-5\r\nPING\r\n", "-ERR Protocol error"},
	{"bulk length is no number", "*1\r\n$x\r\nPING\r\n", "-ERR Protocol error"},
	{"no dollar", "*1\r\nPING\r\n", "-ERR Protocol error"},
	{"array length that overflows", "*99999999999999999999999999\r\n", "-ERR Protocol error"},
	{"nothing but zeroes", strings.Repeat("\x00", 4096), ""},
	{"a line without an end", strings.Repeat("A", 1<<20), "-ERR Protocol error"},
	{"an unbalanced quote", "SET k \"v\r\n", "-ERR Protocol error"},
	{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""},
	{"an unknown command with a long name", "*1\r\n$100000\r\n" + strings.Repeat("x", 100_000) + "\r\n", "-ERR unknown command"},
	{"a value beyond the limit", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n" + strings.Repeat("v", 1<<20+1) + "\r\n", "-ERR"},
	{"a key beyond the limit", "*3\r\n$3\r\nSET\r\n$65537\r\n" + strings.Repeat("k", 1<<16+1) + "\r\n$1\r\nv\r\n", "-ERR"},
}

// TestHostileRESP sends bytes to the Redis port while a well-behaved client goes on.
func TestHostileRESP(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{})
	good := n.Dial()
	for _, h := range hostileRESP {
		got := throw(t, n.RESP(), []byte(h.send))
		if !strings.HasPrefix(got, h.want) {
			t.Errorf("%s: the answer is %.100q, want %q", h.name, got, h.want)
		}
		if reply, err := good.Do("INCR", "good"); err != nil {
			t.Fatalf("%s: the other client gets %v, %v", h.name, reply, err)
		}
	}
	rnd := rand.New(rand.NewPCG(2, 0))
	for range 50 {
		throw(t, n.RESP(), noise(rnd, 1+rnd.IntN(20_000)))
	}
	if got := n.Do("GET", "good"); got != strconv.Itoa(len(hostileRESP)) {
		t.Errorf("the other client's counter is %v, want %d", got, len(hostileRESP))
	}
	if got := n.Do("DBSIZE"); got != int64(1) {
		t.Errorf("%v keys, want the one of the other client", got)
	}
}

// TestHalfCommands holds many connections open with commands that claim much and never end. What they claim
// must not be taken from memory before it arrives.
func TestHalfCommands(t *testing.T) {
	t.Parallel()
	const connections, growthMax = 200, 64 << 20
	n := harness.Start(t, harness.Options{})
	before := resident(t, n)
	for range connections {
		c, err := net.Dial("tcp", n.RESP())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("*1000000\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nhalf")); err != nil {
			t.Fatal(err)
		}
	}
	// Each of them has been read once the daemon has answered someone who came later.
	if got := n.Do("PING"); got != "PONG" {
		t.Errorf("PING answers %v", got)
	}
	if growth := resident(t, n) - before; growth > growthMax {
		t.Errorf("%d connections that claim a megabyte each grew the daemon by %d bytes, want at most %d", connections, growth, growthMax)
	}
}

// TestHostileHTTP sends bytes to the HTTP port.
func TestHostileHTTP(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{})
	addr := n.Started().Node.HTTP
	rnd := rand.New(rand.NewPCG(3, 0))
	for _, send := range []string{
		"\x00\x01\x02\x03\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "*1\r\n$4\r\nPING\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 2<<20) + "\r\n\r\n",
		"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	} {
		got := throw(t, addr, []byte(send))
		if strings.Contains(got, " 200 ") || strings.Contains(got, "root:") {
			t.Errorf("%.40q is answered with %.100q", send, got)
		}
	}
	for range 20 {
		throw(t, addr, noise(rnd, 4096))
	}
	if code := n.HTTPStatus("/readyz"); code != 200 {
		t.Errorf("/readyz answers %d", code)
	}
}

// TestHostileMeshPort sends noise to the libp2p ports, TCP and UDP, of a node with a peer. The two must go on.
func TestHostileMeshPort(t *testing.T) {
	t.Parallel()
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud"}, harness.Options{Name: "device"})
	cloud, device := nodes[0], nodes[1]
	rnd := rand.New(rand.NewPCG(4, 0))
	for _, listen := range cloud.Started().Node.Listen {
		parts := strings.Split(listen, "/") // "", ip4, 127.0.0.1, tcp, PORT, …
		addr := net.JoinHostPort(parts[2], parts[4])
		if parts[3] == "udp" {
			spray(t, addr, rnd)
			continue
		}
		for _, send := range []string{"", "\x13/multistream/1.0.0\n\x0b/nonsense\n", "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "GET / HTTP/1.1\r\n\r\n", "*1\r\n$4\r\nPING\r\n"} {
			throw(t, addr, []byte(send))
		}
		for range 30 {
			throw(t, addr, noise(rnd, 1+rnd.IntN(8192)))
		}
	}
	device.Do("SET", "after", "the noise")
	harness.Converge(t, harness.Patience, "default", nodes...)
	if got := cloud.Do("GET", "after"); got != "the noise" {
		t.Errorf("the cloud has %v", got)
	}
	late := harness.Start(t, harness.Options{Name: "late", Join: cloud.Ticket()})
	harness.Connected(t, harness.Patience, 1, late)
}

// throw sends bytes, says that there are no more, and gives what comes back until the other side ends the
// connection or says nothing for a while.
func throw(t *testing.T, addr string, b []byte) string {
	t.Helper()
	const silence = 200 * time.Millisecond
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(harness.Patience))
	_, _ = c.Write(b) // the other side may have had enough
	_ = c.(*net.TCPConn).CloseWrite()
	var got []byte
	buf := make([]byte, 4096)
	for {
		_ = c.SetReadDeadline(time.Now().Add(silence))
		k, err := c.Read(buf)
		got = append(got, buf[:k]...)
		if err != nil {
			return string(got)
		}
	}
}

// spray sends datagrams that are no QUIC.
func spray(t *testing.T, addr string, rnd *rand.Rand) {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 500 {
		if _, err := c.Write(noise(rnd, 1+rnd.IntN(1400))); err != nil {
			t.Fatal(err)
		}
	}
}

func noise(rnd *rand.Rand, bytes int) []byte {
	b := make([]byte, bytes)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// resident is the memory that the daemon holds, in bytes.
func resident(t *testing.T, n *harness.Node) int64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/statm", n.PID()))
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
