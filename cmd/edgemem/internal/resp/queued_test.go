package resp

import (
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/test/bubble"
)

// TestWritesWait: where no holder is reached and the region allows it, what depends on nothing waits and says so, the rest is refused; and what
// waited is done before what comes after.
func TestWritesWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t)
		away.m.Cut("away", "holder")
		if got := away.pipe(t, lines("SET k v")); !strings.HasPrefix(got, "-NOHOLDER") {
			t.Errorf("a region that does not allow it: %q", got)
		}
		yes := true
		if _, err := holder.f.CreateRegion(t.Context(), "r", fabric.RegionConfig{QueueWrites: &yes}); err != nil {
			t.Fatal(err)
		}
		holder.pipe(t, lines("SADD s old", "RPUSH l old"))
		away.m.Heal("away", "holder")
		time.Sleep(time.Minute)
		away.m.Cut("away", "holder")
		got := away.pipe(t, lines("SET k v EX 100", "INCR n", "SADD s a b", "HSET h f 1", "GET k", "DEL k", "PFADD p x", "ZADD z 1 m", "XADD x 5-1 f v", "MSET a 1 b 2"))
		want := []string{"+LATER", "$-1", "$-1", "$-1", "-NOHOLDER", "-NOHOLDER", "$-1", "$-1", "$3\r\n5-1", "+LATER"}
		rest := got
		for _, w := range want {
			if !strings.HasPrefix(rest, w) {
				t.Fatalf("%q, want %q next", got, w)
			}
			if rest = rest[len(w):]; w[0] == '-' {
				rest = rest[strings.Index(rest, "\r\n"):]
			}
			rest = strings.TrimPrefix(rest, "\r\n")
		}
		for _, raw := range []string{
			lines("SET k v NX"), lines("SET k v GET"), lines("SET k v KEEPTTL"), lines("SREM s a"), lines("LPUSH l x"), lines("ZADD z NX 1 m"), lines("ZADD z INCR 1 m"),
			lines("XADD x NOMKSTREAM * f v"), lines("APPEND k v"), lines("GETSET k v"), lines("SETNX k v"), lines("EXPIRE k 1"), lines("FLUSHDB"), lines("SPOP s"),
			encode("XADD", "x", "", "f", "v"), lines("MULTI", "SET k v", "EXEC"),
		} {
			if got := away.pipe(t, raw); !strings.Contains(got, "-NOHOLDER") && !strings.HasPrefix(got, "-ERR Invalid stream ID") {
				t.Errorf("%q: %q", raw, got)
			}
		}
		if got := away.pipe(t, lines("INCR s", "SADD n x", "INCRBY n x", "PING")); strings.Count(got, "-WRONGTYPE") != 2 || strings.Count(got, "-ERR") != 1 || !strings.HasSuffix(got, "+PONG\r\n") {
			t.Errorf("what cannot be: %q", got)
		}
		away.m.Heal("away", "holder")
		if got := away.pipe(t, lines("SET k later", "GET k", "INCR n", "SCARD s", "XLEN x", "SREM s a")); got != "+OK\r\n$5\r\nlater\r\n:2\r\n:3\r\n:1\r\n:1\r\n" {
			t.Errorf("after it is reached again: %q", got)
		}
		if n := away.f.QueueStats(); n.Waiting != 0 || n.Delivered != n.Queued {
			t.Errorf("%+v", n)
		}
	})
}
