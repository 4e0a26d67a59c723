package resp

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

func TestDefaultUser(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(c *Config) { c.Auth = "secret" })
	p := dial(t, addr)
	p.want("-NOAUTH Authentication required.", "ACL", "WHOAMI")
	p.want("+OK", "AUTH", "secret")
	p.want(`"default"`, "ACL", "WHOAMI")
	const hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
	p.want(`*["user default on #`+hash+` ~* &* +@all"]`, "ACL", "LIST")
	p.want(`*["flags" *["on"] "passwords" *["`+hash+`"] "commands" "+@all" "keys" "~*" "channels" "&*" "selectors" *[]]`, "ACL", "GETUSER", "default")
	if got := p.do("ACL", "GENPASS", "5").text; len(got) != 2 {
		t.Errorf("%q", got)
	}
	if got := p.do("ACL", "CAT", "bitmap"); len(got.items) != 7 {
		t.Error(got)
	}
}

func TestSlowlog(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{}, func(t *testing.T, s *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		got := collect(conn)
		slow := &command{name: "slow", arity: -1, run: func(c *client) { time.Sleep(15 * time.Millisecond); c.ok() }}
		s.table.add(slow)
		slow.index = 0
		write(t, conn, encode("PING"))
		synctest.Wait()
		for range slowlogMax + 5 {
			write(t, conn, encode("SLOW", strings.Repeat("x", 200)))
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
		}
		if n := s.slowlog.len(); n != slowlogMax {
			t.Errorf("%d entries", n)
		}
		before := len(got.String())
		write(t, conn, encode("SLOWLOG", "GET", "1"))
		synctest.Wait()
		reply := got.String()[before:]
		if !strings.HasPrefix(reply, "*1\r\n*6\r\n:132\r\n") || !strings.Contains(reply, ":15000\r\n*2\r\n$4\r\nSLOW\r\n") || !strings.Contains(reply, "x... (72 more bytes)\r\n") {
			t.Errorf("%q", reply)
		}
		write(t, conn, encode("SLOWLOG", "RESET"))
		synctest.Wait()
		if n := s.slowlog.len(); n != 0 {
			t.Errorf("%d entries after RESET", n)
		}
	})
}

func TestSlowlogHidesPasswords(t *testing.T) {
	t.Parallel()
	for _, args := range [][][]byte{{[]byte("AUTH"), []byte("secret")}, {[]byte("hello"), []byte("3"), []byte("AUTH"), []byte("default"), []byte("secret")}} {
		if got := strings.Join(shortArgs(args), " "); strings.Contains(got, "secret") {
			t.Error(got)
		}
	}
	if got := shortArgs(make([][]byte, 40)); len(got) != slowlogArgs || got[31] != "... (9 more arguments)" {
		t.Errorf("%q", got)
	}
}

func TestMemoryCommands(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("+OK", "SET", "k", strings.Repeat("v", 100))
	p.want(":149", "MEMORY", "USAGE", "k")
	p.want(":2", "SADD", "s", "aa", "bb")
	p.want(":149", "MEMORY", "USAGE", "s", "SAMPLES", "0")
	p.want(":2", "RPUSH", "l", "aa", "bb")
	p.want(":173", "MEMORY", "USAGE", "l")
	p.want(":2", "ZADD", "z", "1", "aa", "2", "bb")
	p.want(":165", "MEMORY", "USAGE", "z")
	for i := range 2000 { // more than one step
		p.want(":1", "ZADD", "z", "3", fmt.Sprintf("%04d", i))
	}
	p.want(":120165", "MEMORY", "USAGE", "z")
	usage := func(text string) int64 {
		p.want("+OK", "JSON.SET", "j", "$", text)
		n, err := strconv.ParseInt(strings.TrimPrefix(p.do("MEMORY", "USAGE", "j").text, ":"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	flat, deep := usage(`{"a":"vvvv"}`), usage(`{"a":"vvvv","b":[1,{"c":"vvvv"}]}`)
	if least := int64(1 + keyOverhead + 2*partOverhead + len("vvvv")); flat < least || flat > least+16 {
		t.Errorf("a document of two nodes takes %d bytes", flat)
	}
	if more := deep - flat; more < 4*partOverhead || more > 6*partOverhead {
		t.Errorf("four nodes more take %d bytes", more)
	}
	p.want("nil", "MEMORY", "USAGE", "nothing")
	if got := p.do("MEMORY", "DOCTOR").text; !strings.HasPrefix(got, "Regions take ") {
		t.Error(got)
	}
	if got := p.do("MEMORY", "STATS"); len(got.items) != 12 {
		t.Error(got)
	}
}

// WAIT is not among the random commands: in Redis it may be queued by MULTI.
func TestWaitAnswersAsRedisDoes(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	b := dialBoth(t, addr, realRedis(t))
	for _, args := range [][]string{{"0", "0"}, {"1", "5"}, {"x", "0"}, {"0", "x"}, {"x", "x"}, {"0", "-1"}, {"-1", "0"}, {"0", "1.5"}, {"0"}} {
		b.run([][]string{append([]string{"wait"}, args...)})
	}
}

// WAIT counts the nodes that have the write, and does not count one that is cut off.
func TestWaitCountsHolders(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{}, func(t *testing.T, _ *Server, _ *pipeListener) {
		mesh := fabric.NewMesh(1)
		open := func(name string) *fabric.Fabric {
			f, err := fabric.Open(t.Context(), fabric.Config{Name: name, Transport: mesh.Node(crdt.NodeID(name))})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		fa, fb, fc := open("a"), open("b"), open("c")
		l := newPipeListener()
		s, err := New(Config{Listener: l, Fabric: fa})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(t.Context()) }()
		conn := l.dial()
		got := collect(conn)
		ask := func(raw string, patience time.Duration, want string) {
			t.Helper()
			before := len(got.String())
			write(t, conn, raw)
			time.Sleep(patience)
			synctest.Wait()
			if reply := got.String()[before:]; reply != want {
				t.Errorf("%q, want %q", reply, want)
			}
		}
		ask(encode("SET", "k", "v")+encode("WAIT", "2", "30000"), 31*time.Second, "+OK\r\n:2\r\n")
		mesh.Cut("a", "c")
		mesh.Cut("b", "c")
		ask(encode("SET", "k", "w")+encode("WAIT", "2", "5000"), 4*time.Second, "+OK\r\n") // the reply before it does not wait
		ask("", 2*time.Second, ":1\r\n")
		ask(encode("WAIT", "1", "0"), time.Second, ":1\r\n")
		_ = conn.Close()
		_ = l.Close()
		<-served
		for _, f := range []*fabric.Fabric{fa, fb, fc} {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
