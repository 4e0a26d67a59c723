package resp

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func TestAnnouncedBulkOf512MB(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	p := dial(t, addr)
	p.want("+OK", "SET", "k", "v")
	p.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc")
	if got := p.wantClosed(); got != "-ERR Protocol error: invalid bulk length\r\n" {
		t.Errorf("%q", got)
	}
	if st := s.Stats(); st.ProtocolErrors != 1 || st.BufferedBytes != 0 {
		t.Errorf("%+v", st)
	}
}

// A pipeline before the fault is answered; what stands behind it is not run.
func TestProtocolErrorEndsThePipeline(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.send(encode("SET", "k", "1") + "*1\r\n$-5\r\n" + encode("SET", "k", "2"))
	if got := p.wantClosed(); got != "+OK\r\n-ERR Protocol error: invalid bulk length\r\n" {
		t.Errorf("%q", got)
	}
	dial(t, addr).want(`"1"`, "GET", "k")
}

func TestCommandsOfManySmallPieces(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	for _, b := range []byte(encode("SET", "k", strings.Repeat("v", 2000))) {
		p.send(string(b))
	}
	if got := p.read().String(); got != "+OK" {
		t.Error(got)
	}
	p.want(":2000", "STRLEN", "k")
}

// The query buffers of all clients share a budget: a client that would pass it goes, the others stay.
func TestBufferBudget(t *testing.T) {
	t.Parallel()
	s, addr := start(t, func(c *Config) { c.Limits.BufferedBytes = 1 << 20 })
	quiet, greedy := dial(t, addr), dial(t, addr)
	quiet.want("+PONG", "PING")
	for i := range 40 {
		head := ""
		if i == 0 {
			head = "*100\r\n"
		}
		if _, err := fmt.Fprintf(greedy.conn, "%s$65536\r\n%s\r\n", head, strings.Repeat("x", 65536)); err != nil {
			break
		}
	}
	if got := greedy.wantClosed(); got != "" && got != "-ERR the buffers of all clients are at their limit, try again later\r\n" {
		t.Errorf("%q", got)
	}
	quiet.want("+PONG", "PING")
	if st := s.Stats(); st.OverBudget != 1 || st.BufferedBytes != 0 || st.Clients != 1 {
		t.Errorf("%+v", st)
	}
}

// A reply that would be enormous is an error, whatever asked for it, and the memory is given back.
func TestReplyLimit(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(c *Config) { c.Limits.ReplyBytes = 1 << 20 })
	p := dial(t, addr)
	p.want("+OK", "SET", "k", strings.Repeat("v", 1<<18))
	args := []string{"MGET"}
	for range 1000 {
		args = append(args, "k")
	}
	want := "-ERR the reply is larger than 1048576 bytes; read it in parts with SCAN, SSCAN, HSCAN or COUNT"
	p.want(want, args...)
	for i := range 30 {
		p.want(":1", "HSET", "h", fmt.Sprint("f", i), strings.Repeat("v", 1<<16))
	}
	p.want(want, "HGETALL", "h")
	p.want(want, "HVALS", "h")
	p.want(":30", "HLEN", "h")
	if got := p.do("HSCAN", "h", "0", "COUNT", "5"); got.kind != '*' {
		t.Error(got.kind)
	}
}

func TestBrowserIsTurnedAway(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.send("POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET k v\r\n")
	if got := p.wantClosed(); got != "" {
		t.Errorf("%q", got)
	}
	dial(t, addr).want("nil", "GET", "k")
}

func TestErrorsCannotForgeReplies(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("-ERR unknown command 'a  +OK', with args beginning with: 'b  :1' ", "a\r\n+OK", "b\r\n:1")
	p.want("-ERR Unsupported option x  +OK", "EXPIRE", "k", "1", "x\r\n+OK")
	p.want("+PONG", "PING")
}

// What a connection holds after large commands is what an idle one holds.
func TestBuffersShrink(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	p := dial(t, addr)
	big := strings.Repeat("v", 1<<20)
	for range 4 {
		p.want("+OK", "SET", "k", big)
		p.want(fmt.Sprintf("%q", big), "GET", "k")
	}
	p.want("+PONG", "PING")
	runtime.GC()
	if st := s.Stats(); st.BufferedBytes != 0 {
		t.Errorf("%d bytes are still charged", st.BufferedBytes)
	}
}
