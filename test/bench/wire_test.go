package main

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/edgemem/edgemem/test/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestProxyPassesAndCounts sends through the proxy to a server that echoes.
func TestProxyPassesAndCounts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with its one connection, or with the listener
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, c)
	}()
	p, err := startProxy(l.Addr().String(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := bytes.Repeat([]byte("0123456789"), 30_000)
	go func() {
		_, _ = c.Write(sent) // a failed write shows as a short read below
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d of %d bytes came back, %v", len(got), len(sent), err)
	}
	if n := p.bytes.Load(); n != int64(2*len(sent)) {
		t.Errorf("counted %d bytes, want %d", n, 2*len(sent))
	}
}

// TestSlowLinkDelaysAndCounts runs in virtual time: a request and its answer take one round trip, however
// many writes they are made of.
func TestSlowLinkDelaysAndCounts(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		var link slowLink
		link.set(50 * time.Millisecond)
		x, y := net.Pipe()
		a, b := link.stream(x), link.stream(y)
		go func() {
			buf := make([]byte, 6)
			_, _ = io.ReadFull(b, buf) // a failed read shows as a wrong answer
			_, _ = b.Write(bytes.ToUpper(buf))
			_ = b.Close()
		}()
		began := time.Now()
		for _, part := range []string{"ab", "cd", "ef"} {
			if _, err := a.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(a)
		if err != nil || string(got) != "ABCDEF" {
			t.Errorf("got %q, %v", got, err)
		}
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("took %v, want one round trip of 100ms", took)
		}
		if n := link.bytes.Load(); n != 12 {
			t.Errorf("counted %d bytes, want 12", n)
		}
		_ = a.Close()
		if _, err := a.Write([]byte("x")); err == nil {
			t.Error("a write after the end is accepted")
		}
	})
}
