package resp

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

func TestTransactions(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("+OK", "MULTI")
	p.want("+QUEUED", "SET", "k", "1")
	p.want("+QUEUED", "INCR", "k")
	p.want("+QUEUED", "SADD", "k", "m")
	p.want("+QUEUED", "GET", "k")
	p.want("+QUEUED", "PING")
	p.want(`*[+OK :2 -WRONGTYPE Operation against a key holding the wrong kind of value "2" +PONG]`, "EXEC")
	p.want("-ERR EXEC without MULTI", "EXEC")
	p.want("-ERR DISCARD without MULTI", "DISCARD")
	p.want("+OK", "MULTI")
	p.want("-ERR MULTI calls can not be nested", "MULTI")
	p.want("-ERR WATCH inside MULTI is not allowed", "WATCH", "k")
	p.want("+QUEUED", "DEL", "k")
	p.want("+OK", "DISCARD")
	p.want(":1", "EXISTS", "k")
	p.want("+OK", "MULTI")
	p.want("+QUEUED", "DEL", "k")
	p.want("-ERR unknown command 'NOPE', with args beginning with: ", "NOPE")
	p.want("-EXECABORT Transaction discarded because of previous errors.", "EXEC")
	p.want(":1", "EXISTS", "k")
	p.want("+OK", "MULTI")
	p.want("-ERR Command not allowed inside a transaction", "INFO")
	p.want("-EXECABORT Transaction discarded because of previous errors.", "EXEC")
	p.want("+OK", "MULTI")
	p.want("*[]", "EXEC")
}

// SELECT within a transaction: each region has its part.
func TestTransactionOverTwoRegions(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("+OK", "MULTI")
	for _, line := range []string{"SET k default", "SELECT cars", "SET k cars", "GET k", "SELECT 0", "GET k"} {
		p.want("+QUEUED", strings.Fields(line)...)
	}
	p.want(`*[+OK +OK +OK "cars" +OK "default"]`, "EXEC")
	p.want(`"default"`, "GET", "k")
}

func TestWatchNoticesLocalChanges(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p, q := dial(t, addr), dial(t, addr)
	for _, tc := range []struct {
		change string
		goes   bool
	}{
		{"SET k other", false}, {"SADD s m", false}, {"DEL k", false}, {"EXPIRE k 100", false}, {"APPEND k x", false}, {"FLUSHDB", false},
		{"SET another v", true}, {"GET k", true}, {"SELECT cars", true},
	} {
		p.want("+OK", "SET", "k", "v")
		p.want("+OK", "WATCH", "k", "s")
		q.do(strings.Fields(tc.change)...)
		p.want("+OK", "MULTI")
		p.want("+QUEUED", "PING")
		want := "nil"
		if tc.goes {
			want = "*[+PONG]"
		}
		p.want(want, "EXEC")
		p.want("+OK", "WATCH", "k", "s")
		q.do(strings.Fields(tc.change)...)
		p.want("+OK", "UNWATCH")
		p.want("+OK", "MULTI")
		p.want("*[]", "EXEC")
		q.want("+OK", "SELECT", "0")
	}
	p.want("+OK", "WATCH", "k")
	p.want("+OK", "SELECT", "cars")
	q.do("SET", "k", "new")
	p.want("+OK", "MULTI")
	p.want("+QUEUED", "SET", "k", "v")
	p.want("nil", "EXEC")
	p.want(":0", "EXISTS", "k")
}

// twoNodes are two fabrics in one mesh.
func twoNodes(t *testing.T) (a, b *fabric.Fabric) {
	t.Helper()
	mesh := fabric.NewMesh(1)
	open := func(name string) *fabric.Fabric {
		f, err := fabric.Open(t.Context(), fabric.Config{Name: name, Transport: mesh.Node(crdt.NodeID(name))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	return open("a"), open("b")
}

// awaitKey waits until a watch of a node's default region tells of a key.
func awaitKey(t *testing.T, f *fabric.Fabric, key string, then func()) {
	t.Helper()
	r, err := f.Region(fabric.DefaultRegion)
	if err != nil {
		t.Fatal(err)
	}
	events := r.Watch(t.Context(), key)
	then()
	for ev, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Key == key && !ev.Local {
			return
		}
	}
}

// awaitReply waits until a command has a reply, looking again with each change of the default region of the node that answers.
func awaitReply(t *testing.T, f *fabric.Fabric, p *peer, reply string, args ...string) {
	t.Helper()
	r, err := f.Region(fabric.DefaultRegion)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	defer cancel()
	events := r.Watch(ctx, "")
	if p.do(args...).String() == reply {
		return
	}
	for _, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if p.do(args...).String() == reply {
			return
		}
	}
	t.Fatalf("%q: %s, want %s", args, p.do(args...), reply)
}

func TestWatchNoticesMerges(t *testing.T) {
	t.Parallel()
	fa, fb := twoNodes(t)
	_, addrA := start(t, func(c *Config) { c.Fabric = fa })
	_, addrB := start(t, func(c *Config) { c.Fabric = fb })
	a, b := dial(t, addrA), dial(t, addrB)
	a.want("+OK", "WATCH", "k")
	awaitKey(t, fa, "k", func() { b.want("+OK", "SET", "k", "theirs") })
	a.want("+OK", "MULTI")
	a.want("+QUEUED", "SET", "k", "ours")
	a.want("nil", "EXEC")
	a.want(`"theirs"`, "GET", "k")
}

// The writes of one transaction are one run of dots, which another node takes whole or not at all.
func TestTransactionIsOneDeltaGroup(t *testing.T) {
	t.Parallel()
	f := testFabric(t)
	_, addr := start(t, func(c *Config) { c.Fabric = f })
	p, q := dial(t, addr), dial(t, addr)
	const writers, rounds, keys = 2, 50, 8
	done := make(chan bool, writers)
	for _, w := range []*peer{p, q} {
		go func() {
			defer func() { done <- true }()
			for i := range rounds {
				var raw strings.Builder
				raw.WriteString(encode("MULTI"))
				for k := range keys {
					raw.WriteString(encode("SET", "k"+strconv.Itoa(k), strconv.Itoa(i)))
				}
				raw.WriteString(encode("EXEC"))
				if _, err := w.conn.Write([]byte(raw.String())); err != nil {
					return
				}
				for range keys + 2 {
					if _, err := readValue(w.r); err != nil {
						return
					}
				}
			}
		}()
	}
	reader := dial(t, addr)
	for range 200 {
		all := reader.do("MGET", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7").items
		for _, v := range all {
			if v.text != all[0].text {
				t.Fatalf("half of a transaction shows: %v", all)
			}
		}
	}
	<-done
	<-done
}

func TestTransactionIsBounded(t *testing.T) {
	t.Parallel()
	s, addr := start(t, func(c *Config) { c.Limits.CommandBytes = 1000; c.Limits.ReplyBytes = 300 })
	p := dial(t, addr)
	p.want("+OK", "MULTI")
	for range 4 {
		p.want("+QUEUED", "SET", "k", strings.Repeat("v", 60))
	}
	if got := p.do("SET", "k", strings.Repeat("v", 600)).String(); got != "-ERR the queued commands are longer than 1000 bytes; EXEC will discard them" {
		t.Error(got)
	}
	p.want("-EXECABORT Transaction discarded because of previous errors.", "EXEC")
	p.want("+OK", "SET", "k", strings.Repeat("v", 120))
	p.want("+OK", "MULTI")
	for range 3 {
		p.want("+QUEUED", "GET", "k")
	}
	reply := p.do("EXEC")
	if len(reply.items) != 3 || reply.items[1].kind != '$' || reply.items[2].text != "ERR the replies of the transaction are larger than 300 bytes" {
		t.Error(reply)
	}
	key := strings.Repeat("k", 900)
	for i := range watchBytesMax / (len(key) + watchedOverhead) {
		if got := p.do("WATCH", key[:890]+strconv.Itoa(1e9+i)).String(); got != "+OK" && !strings.HasPrefix(got, "-ERR the watched keys are longer") {
			t.Fatal(got)
		}
	}
	if got := p.do("WATCH", key).String(); !strings.HasPrefix(got, "-ERR the watched keys are longer than 4194304 bytes") {
		t.Error(got)
	}
	if held := s.buffered.Load(); held > 5<<20 {
		t.Errorf("%d bytes are held", held)
	}
	p.want("+OK", "UNWATCH")
	p.want("+PONG", "PING")
	if held := s.buffered.Load(); held != 0 {
		t.Errorf("%d bytes are held after UNWATCH", held)
	}
}

// EXEC is answered when the disk has what it wrote, and with an error if it has not.
func TestExecWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	disk := &gatedStorage{gate: passing()}
	inBubble(t, disk, Limits{}, func(t *testing.T, _ *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		got := collect(conn)
		write(t, conn, encode("SELECT", "durable"))
		synctest.Wait()
		gate := make(chan struct{})
		disk.set(gate, nil)
		write(t, conn, encode("MULTI")+encode("SET", "k", "v")+encode("EXEC"))
		synctest.Wait()
		if got.String() != "+OK\r\n" {
			t.Fatalf("before the disk: %q", got)
		}
		close(gate)
		synctest.Wait()
		if want := "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"; got.String() != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
