package resp

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// neighbours gives clients of which each loop of the server has at least two.
func neighbours(t *testing.T, addr string) (all []*peer) {
	t.Helper()
	for range 2 * runtime.GOMAXPROCS(0) {
		all = append(all, dial(t, addr))
	}
	for _, p := range all {
		p.want("+PONG", "PING")
	}
	return all
}

func wantLoops(t *testing.T, s *Server) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		if !c.home.half {
			t.Error("a connection has a goroutine of its own")
		}
	}
}

// TestLongTurnLeavesTheLoop: a command that waits for a region's lock does not hold up those who need it not.
func TestLongTurnLeavesTheLoop(t *testing.T) {
	t.Parallel()
	f := testFabric(t)
	s, addr := start(t, func(c *Config) { c.Fabric = f })
	all := neighbours(t, addr)
	wantLoops(t, s)
	r, err := f.Region(fabric.DefaultRegion)
	if err != nil {
		t.Fatal(err)
	}
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = r.Update(t.Context(), func(*crdt.Tx) error { close(held); <-release; return nil })
	})
	<-held
	for _, p := range all[1:] {
		p.send(encode("SET", "k", "v") + encode("GET", "k"))
	}
	all[0].want("+PONG", "PING")
	close(release)
	wg.Wait()
	for _, p := range all[1:] {
		if ok, v := p.read().String(), p.read().String(); ok != "+OK" || v != `"v"` {
			t.Errorf("SET and GET: %s, %s", ok, v)
		}
		p.want("+PONG", "PING")
	}
}

// TestSlowReaderLeavesTheLoop: a client that does not read its replies holds up nobody, and gets them all when it reads.
func TestSlowReaderLeavesTheLoop(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	all := neighbours(t, addr)
	slow := all[0]
	value := strings.Repeat("x", 1<<20)
	slow.want("+OK", "SET", "big", value)
	const gets = 32
	slow.send(strings.Repeat(encode("GET", "big"), gets))
	for range 3 {
		for _, p := range all[1:] {
			p.want("+PONG", "PING")
		}
	}
	for i := range gets {
		if got := slow.read(); got.text != value {
			t.Fatalf("reply %d has %d bytes", i, len(got.text))
		}
	}
	slow.want("+PONG", "PING")
}

// TestRepliesWaitForTheDiskTogether: connections whose writes wait for the disk hold up nobody, and each hears of its own write.
func TestRepliesWaitForTheDiskTogether(t *testing.T) {
	t.Parallel()
	disk := &gatedStorage{gate: passing()}
	f, err := fabric.Open(t.Context(), fabric.Config{Name: "test", Storage: disk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.CreateRegion(t.Context(), fabric.DefaultRegion, fabric.RegionConfig{Ack: fabric.AckDisk}); err != nil {
		t.Fatal(err)
	}
	s, addr := start(t, func(c *Config) { c.Fabric = f })
	all := neighbours(t, addr)
	for round, fail := range []error{nil, errors.New("no more blocks"), nil} {
		gate := make(chan struct{})
		disk.set(gate, fail)
		for i, p := range all {
			p.send(encode("SET", fmt.Sprint("k", i), fmt.Sprint(round)) + encode("PING"))
		}
		other := dial(t, addr)
		other.want("+PONG", "PING")
		gone := dial(t, addr)
		gone.send(encode("SET", "gone", "x"))
		if round == 1 { // one is killed while its reply waits
			id := gone.id(t)
			other.want(":1", "CLIENT", "KILL", "ID", id)
		} else {
			_ = gone.conn.Close()
		}
		close(gate)
		for _, p := range all {
			got := p.read().String()
			if (fail == nil) != (got == "+OK") {
				t.Errorf("round %d: SET: %s", round, got)
			}
			if got := p.read().String(); got != "+PONG" {
				t.Errorf("PING behind it: %s", got)
			}
		}
		disk.set(passing(), nil)
		_ = other.conn.Close()
	}
	wantLoops(t, s)
}

// id is the number of the client that wrote last and has no reply yet, by CLIENT LIST of another.
func (p *peer) id(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(p.list(t)) {
		if strings.Contains(line, " addr="+p.conn.LocalAddr().String()+" ") {
			id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
			return id
		}
	}
	t.Fatal("it is not in CLIENT LIST")
	return ""
}

func (p *peer) list(t *testing.T) string {
	t.Helper()
	other := dial(t, p.conn.RemoteAddr().String())
	defer other.conn.Close()
	return other.do("CLIENT", "LIST").text
}

// TestSubscriberLeavesTheLoop and is served on, as a subscriber and after that.
func TestSubscriberLeavesTheLoop(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	sub, pub := dial(t, addr), dial(t, addr)
	sub.send(encode("PING") + encode("SUBSCRIBE", "news"))
	sub.read()
	sub.read()
	for i := range 3 {
		pub.want(":1", "PUBLISH", "news", fmt.Sprint(i))
		if m := sub.read(); len(m.items) != 3 || m.items[2].text != fmt.Sprint(i) {
			t.Errorf("message %d: %v", i, m)
		}
	}
	sub.do("UNSUBSCRIBE", "news")
	sub.want("+PONG", "PING")
	pub.want(":0", "PUBLISH", "news", "x")
}

// TestHalfClosedClientIsAnswered: what was sent before the end of the input is run and answered.
func TestHalfClosedClientIsAnswered(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.send(encode("SET", "a", "b") + encode("GET", "a"))
	if err := p.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := p.wantClosed(); got != "+OK\r\n$1\r\nb\r\n" {
		t.Errorf("replies %q", got)
	}
}

// TestBlockedClientsShareALoop: as many as there are wait for keys at once, and each is served.
func TestBlockedClientsShareALoop(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	all := neighbours(t, addr)
	for i, p := range all {
		p.send(encode("BLPOP", fmt.Sprint("q", i), "0"))
	}
	other := dial(t, addr)
	for i, p := range all {
		other.do("RPUSH", fmt.Sprint("q", i), "x")
		if got := p.read(); len(got.items) != 2 {
			t.Errorf("BLPOP: %v", got)
		}
		p.want("+PONG", "PING")
	}
	all[0].send(encode("BLPOP", "none", "0.01"))
	if got := all[0].read().kind; got != '_' {
		t.Errorf("BLPOP that ends: %c", got)
	}
}
