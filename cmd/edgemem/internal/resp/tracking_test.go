package resp

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

const trackingScene = `
s CLIENT TRACKINGINFO
s CLIENT GETREDIR
s CLIENT CACHING YES
s CLIENT TRACKING
s CLIENT TRACKING maybe
s CLIENT TRACKING ON PREFIX a
s CLIENT TRACKING ON OPTIN OPTOUT
s CLIENT TRACKING ON BCAST OPTIN
s CLIENT TRACKING ON
s CLIENT GETREDIR
s GET k
s MGET l m
p SET other v
p SET k v
s <
p SET k w
p DEL m
p SADD m a
s <
s CLIENT TRACKING ON BCAST
s CLIENT TRACKINGINFO
s CLIENT TRACKING OFF
p SET l v
s PING
s CLIENT TRACKING ON OPTIN
s CLIENT CACHING NO
s GET k
s CLIENT CACHING YES
s CLIENT TRACKINGINFO
s GET l
p SET k x
p SET l x
s <
s CLIENT CACHING YES
s MULTI
s GET k
s GET l
s EXEC
p SET k y
s <
p SET l y
s <
s CLIENT TRACKING ON OPTOUT
s CLIENT TRACKING OFF
s CLIENT TRACKING ON OPTOUT
s CLIENT CACHING YES
s CLIENT CACHING NO
s GET k
s GET l
p SET k z
p SET l z
s <
s CLIENT TRACKING OFF
s CLIENT TRACKING ON BCAST PREFIX a: PREFIX b:
s CLIENT TRACKING ON BCAST PREFIX a:x
s CLIENT TRACKINGINFO
p SET c:1 v
p HSET b:1 f v
s <
s CLIENT TRACKING OFF
s CLIENT TRACKING ON NOLOOP
s GET k
s SET k mine
s PING
p SET k theirs
s GET k
p SET k again
s <
s RESET
`

// The scene is of RESP3 alone, for the invalidations.
func TestTracksAsRedisDoes(t *testing.T) {
	t.Parallel()
	compareScene(t, trackingScene, "3")
}

const notifyScene = `
p CONFIG SET notify-keyspace-events KEA
p CONFIG GET notify-keyspace-events
p CONFIG SET notify-keyspace-events bad?
p CONFIG SET notify-keyspace-events
p CONFIG SET nonsense 1
s SUBSCRIBE __keyevent@0__:set __keyevent@0__:expire __keyevent@0__:del __keyevent@0__:incrby
s <
s <
s <
p SET k v
s <
p SET k v EX 100
s <
s <
p DEL k missing
s <
p INCR n
s <
p EXPIRE n 100
s <
p EXPIRE n -1
s <
p MSET a 1 b 2
s <
s <
p GETSET a 3
s <
p GETDEL a
s <
p UNLINK b missing
s <
s UNSUBSCRIBE __keyevent@0__:set __keyevent@0__:expire __keyevent@0__:del __keyevent@0__:incrby
s <
s <
s <
s PSUBSCRIBE __keyspace@0__:*
p SADD s a b
s <
p SADD s a
p SREM s a missing
s <
p SPOP s
s <
s <
p HSET h f v
s <
p HINCRBY h n 1
s <
p HDEL h f n
s <
s <
p APPEND k x
s <
p SETRANGE k 0 y
s <
p RENAME k l
s <
s <
p COPY l m
s <
p SADD s x
s <
p SMOVE s t x
s <
s <
s <
p SINTERSTORE u t
s <
p SETBIT bits 1 1
s <
p BITOP not bits2 bits
s <
p PEXPIREAT l 4000000000000
s <
p PERSIST l
s <
p GETEX l EX 100
s <
p GETEX l PERSIST
s <
p INCRBYFLOAT f 1.5
s <
p CONFIG SET notify-keyspace-events AKE
p CONFIG GET notify-keyspace-events
p CONFIG SET notify-keyspace-events Kg$
p CONFIG GET notify-keyspace-events
p SADD s z
p SET k v
s <
p CONFIG SET notify-keyspace-events ""
p SET k v
s PING
`

func TestNotifiesAsRedisDoes(t *testing.T) {
	t.Parallel()
	compareScene(t, strings.ReplaceAll(notifyScene, `""`, ""), "2")
}

// What another node writes invalidates, and is notified of, like what is written here.
func TestChangesByMergeAreTold(t *testing.T) {
	t.Parallel()
	fa, fb := twoNodes(t)
	_, addrA := start(t, func(c *Config) { c.Fabric = fa })
	_, addrB := start(t, func(c *Config) { c.Fabric = fb })
	a, listener, b := dial(t, addrA), dial(t, addrA), dial(t, addrB)
	b.want("+OK", "SET", "before", "v")
	a.do("HELLO", "3")
	a.want("+OK", "CLIENT", "TRACKING", "ON")
	a.want("+OK", "CONFIG", "SET", "notify-keyspace-events", "KA")
	a.want("nil", "GET", "k")
	listener.want(`*["psubscribe" "__keyspace@0__:[kst]" :1]`, "PSUBSCRIBE", "__keyspace@0__:[kst]")
	b.want("+OK", "SET", "k", "theirs")
	if got := a.read().String(); got != `>["invalidate" *["k"]]` {
		t.Error(got)
	}
	a.want(`"theirs"`, "GET", "k")
	told := func(key, event string) {
		t.Helper()
		if got, want := listener.read().String(), fmt.Sprintf(`*["pmessage" "__keyspace@0__:[kst]" "__keyspace@0__:%s" %q]`, key, event); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	told("k", "set")
	b.want(":1", "SADD", "s", "m")
	told("s", "sadd")
	b.want(":1", "DEL", "k")
	told("k", "del")
	if got := a.read().String(); got != `>["invalidate" *["k"]]` {
		t.Error(got)
	}
}

// An expiry is told within a second of its instant, although no client looks at the key.
func TestExpiriesAreTold(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{}, func(t *testing.T, s *Server, l *pipeListener) {
		a, b := l.dial(), l.dial()
		defer func() { _, _ = a.Close(), b.Close() }()
		got, heard := collect(a), collect(b)
		write(t, b, encode("CONFIG", "SET", "notify-keyspace-events", "Ex")+encode("SUBSCRIBE", "__keyevent@0__:expired"))
		write(t, a, encode("HELLO", "3")+encode("CLIENT", "TRACKING", "ON")+encode("SET", "k", "v", "PX", "5500")+encode("GET", "k"))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if strings.Contains(got.String(), "invalidate") {
			t.Error("told before the instant")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := strings.Count(got.String(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"); n != 1 {
			t.Errorf("told %d times: %q", n, got)
		}
		if !strings.Contains(heard.String(), "$22\r\n__keyevent@0__:expired\r\n$1\r\nk\r\n") {
			t.Errorf("%q", heard)
		}
	})
}

func TestTrackingIsBounded(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	p := dial(t, addr)
	p.do("HELLO", "3")
	p.want("+OK", "CLIENT", "TRACKING", "ON")
	key, invalid := strings.Repeat("k", 60_000), 0
	const reads = trackBytesMax/60_000 + 20
	for i := range reads {
		p.send(encode("GET", strconv.Itoa(i)+key))
	}
	for answers := 0; answers < reads; {
		if p.read().kind == '>' {
			invalid++
			continue
		}
		answers++
	}
	s.tracking.mu.Lock()
	held, keys := s.tracking.bytes, len(s.tracking.keys)
	s.tracking.mu.Unlock()
	if held > trackBytesMax || keys > reads || keys < reads-40 {
		t.Errorf("%d keys of %d bytes are tracked, after %d were told as changed", keys, held, invalid)
	}
	p.send(encode("RESET"))
	for p.read().text != "RESET" {
	}
	s.tracking.mu.Lock()
	defer s.tracking.mu.Unlock()
	if len(s.tracking.keys)+len(s.tracking.all)+len(s.tracking.expiring)+s.tracking.bytes != 0 {
		t.Errorf("after RESET: %d keys, %d clients, %d bytes", len(s.tracking.keys), len(s.tracking.all), s.tracking.bytes)
	}
}

// More changes at once than a watch holds: clients forget everything, rather than keep what may be stale.
func TestTooManyChangesInvalidateEverything(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	p, q := dial(t, addr), dial(t, addr)
	p.do("HELLO", "3")
	var line []string
	for i := range 6000 {
		line = append(line, "k"+strconv.Itoa(i), "v")
	}
	q.want("+OK", append([]string{"MSET"}, line...)...)
	p.want("+OK", "CLIENT", "TRACKING", "ON")
	p.want(`"v"`, "GET", "k999") // the last in order
	s.tracking.mu.Lock()         // the feed waits
	q.want("+OK", append([]string{"MSET"}, line...)...)
	s.tracking.mu.Unlock()
	if got := p.read().String(); got != `>["invalidate" nil]` {
		t.Error(got)
	}
	if n := s.stats.feedLags.Load(); n != 1 {
		t.Errorf("%d lags", n)
	}
	p.want(`"v"`, "GET", "k999")
	q.want("+OK", "SET", "k999", "w")
	if got := p.read().String(); got != `>["invalidate" *["k999"]]` {
		t.Error(got)
	}
}

func TestFeedsEndWithTheirClients(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	p, q := dial(t, addr), dial(t, addr)
	p.want("+OK", "CLIENT", "TRACKING", "ON")
	p.want("nil", "GET", "k")
	q.want("+OK", "CONFIG", "SET", "notify-keyspace-events", "KA")
	count := func() int {
		s.feeds.mu.Lock()
		defer s.feeds.mu.Unlock()
		return len(s.feeds.running)
	}
	if n := count(); n != 1 {
		t.Errorf("%d feeds", n)
	}
	p.want("+OK", "CLIENT", "TRACKING", "OFF")
	if n := count(); n != 1 {
		t.Errorf("%d feeds while notifications are on", n)
	}
	q.want("+OK", "CONFIG", "SET", "notify-keyspace-events", "")
	if n := count(); n != 0 {
		t.Errorf("%d feeds", n)
	}
	p.want("nil", "BLPOP", "none", "0.001")
	if n := count(); n != 1 {
		t.Errorf("%d feeds of one that may wait again", n)
	}
	s.feeds.lingered() // the time has passed
	if n := count(); n != 0 {
		t.Errorf("%d feeds of nobody", n)
	}
	for i := range feedsMax {
		q.want("+OK", "SELECT", "r"+strconv.Itoa(i))
		if err := s.feeds.follow(mustRegion(t, s, "r"+strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	p.want("+OK", "CLIENT", "TRACKING", "ON")
	p.want("-ERR the changes of too many regions are followed on this node already", "GET", "k")
}

func mustRegion(t *testing.T, s *Server, name string) *fabric.Region {
	t.Helper()
	r, err := s.cfg.Fabric.Region(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
