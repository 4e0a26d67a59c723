package resp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// testFabric is a fabric in memory that talks to nobody.
func testFabric(t testing.TB) *fabric.Fabric {
	t.Helper()
	f, err := fabric.Open(t.Context(), fabric.Config{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// start serves on a free port of loopback until the test ends, and returns the server and its address.
func start(t testing.TB, change func(*Config)) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Listener: l, NodeName: "test node", Version: "test", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	if cfg.Fabric == nil {
		cfg.Fabric = testFabric(t)
	}
	return serveConfig(t, cfg), l.Addr().String()
}

// serveConfig serves until the test ends, and checks that the server then stops without an error.
func serveConfig(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// peer is the client's end of a connection, in tests.
type peer struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, conn)
}

// testPatience bounds every exchange, so that a test that hangs says where.
const testPatience = 2 * time.Minute

func newPeer(t testing.TB, conn net.Conn) *peer {
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	return &peer{t, conn, bufio.NewReader(conn)}
}

func encode(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

func (p *peer) send(raw string) {
	p.t.Helper()
	if _, err := p.conn.Write([]byte(raw)); err != nil {
		p.t.Fatal(err)
	}
}

// do sends one command and reads its reply.
func (p *peer) do(args ...string) value {
	p.t.Helper()
	p.send(encode(args...))
	return p.read()
}

// want sends one command and compares its reply, as text.
func (p *peer) want(reply string, args ...string) {
	p.t.Helper()
	if got := p.do(args...).String(); got != reply {
		p.t.Errorf("%q: %s, want %s", args, got, reply)
	}
}

func (p *peer) read() value {
	p.t.Helper()
	v, err := readValue(p.r)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// wantClosed reads to the end and returns what came.
func (p *peer) wantClosed() string {
	p.t.Helper()
	rest, err := io.ReadAll(p.r)
	if err != nil && !strings.Contains(err.Error(), "reset by peer") {
		p.t.Fatalf("after %q: %v, want the end", rest, err)
	}
	return string(rest)
}

// value is one parsed reply of RESP2 or RESP3.
type value struct {
	kind  byte
	text  string
	items []value
}

func readValue(r *bufio.Reader) (value, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return value{}, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return value{}, fmt.Errorf("bad line %q", line)
	}
	v := value{kind: line[0], text: line[1 : len(line)-2]}
	switch v.kind {
	case '$', '=':
		return readText(r, v)
	case '*', '~', '%', '>':
		return readItems(r, v)
	}
	return v, nil
}

func readText(r *bufio.Reader, v value) (value, error) {
	n, err := strconv.Atoi(v.text)
	if err != nil || n < 0 {
		v.kind, v.text = '_', ""
		return v, err
	}
	body := make([]byte, n+2)
	_, err = io.ReadFull(r, body)
	v.text = string(body[:n])
	return v, err
}

func readItems(r *bufio.Reader, v value) (value, error) {
	n, err := strconv.Atoi(v.text)
	if err != nil || n < 0 {
		v.kind, v.text = '_', ""
		return v, err
	}
	if v.kind == '%' {
		n *= 2
	}
	v.text = ""
	for range n {
		item, err := readValue(r)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
	}
	return v, nil
}

// String shows a reply with its type, so that comparing text compares both.
func (v value) String() string {
	switch v.kind {
	case '_':
		return "nil"
	case '$', '=':
		return strconv.Quote(v.text)
	case '*', '~', '%', '>':
		parts := make([]string, len(v.items))
		for i, item := range v.items {
			parts[i] = item.String()
		}
		return string(v.kind) + "[" + strings.Join(parts, " ") + "]"
	}
	return string(v.kind) + v.text
}
