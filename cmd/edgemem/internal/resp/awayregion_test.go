package resp

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/test/bubble"
)

// apart runs servers on a node without a copy of region "r" and on one that has it; both have selected it.
func apart(t *testing.T) (away, holder *station) {
	t.Helper()
	all := stations(t, "away", "holder")
	away, holder = all[0], all[1]
	if _, err := holder.f.CreateRegion(t.Context(), "r", fabric.RegionConfig{Placement: fabric.Placement{Kind: "demand"}}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	r, err := away.f.Region("r")
	if err == nil && r.Held() {
		err = r.GiveCopy(t.Context())
	}
	if err != nil || r.Held() {
		t.Fatalf("the other node has a copy: %v", err)
	}
	away.ask(t, "SELECT", "r")
	holder.ask(t, "SELECT", "r")
	return away, holder
}

func lines(commands ...string) (raw string) {
	for _, c := range commands {
		raw += encode(strings.Fields(c)...)
	}
	return raw
}

func (s *station) pipe(t *testing.T, raw string) string {
	t.Helper()
	write(t, s.conn, raw)
	return s.more()
}

// TestCommandsTravel: what a client is answered on a node without a copy is what it is answered by the holder, byte for byte, in both protocols, alone
// and in pipelines, whatever comes between.
func TestCommandsTravel(t *testing.T) {
	for _, proto := range []string{"2", "3"} {
		t.Run("RESP"+proto, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				away, holder := apart(t)
				away.ask(t, "HELLO", proto)
				holder.ask(t, "HELLO", proto)
				holder.ask(t, "SELECT", "mirror") // the same commands, without a way
				for _, raw := range []string{
					lines("SET k v"), lines("GET k"), lines("GET none"), lines("INCRBY n 5", "INCR n", "GET n", "DECR n"),
					lines("HSET h a 1 b 2", "HGETALL h", "HINCRBY h a 4", "ZADD z 1.5 m", "ZSCORE z m", "SADD s x y", "SMEMBERS s"),
					lines("GET k", "NOSUCH x", "GET n", "GET", "PING", "GET k", "ECHO hello", "INCR k", "INCR n"),
					lines("RPUSH l 1 2 3", "LPOP l", "LRANGE l 0 -1", "XADD x 5-1 a b", "XLEN x", "JSON.SET d $ {\"a\":1}", "JSON.GET d"),
					lines("DBSIZE", "KEYS *", "SCAN 0", "TYPE h", "TTL k", "EXPIRE k 1000", "PERSIST k", "RENAME k k2", "COPY k2 k3", "EXISTS k k2 k3"),
					lines("MULTI", "SET a 1", "INCR a", "GET a", "GET h", "EXEC", "GET a"), lines("MULTI", "SET a 5", "DISCARD", "GET a"),
					lines("MULTI", "GET", "SET b 1", "EXEC", "GET b"), lines("MULTI", "EXEC"), lines("CLIENT REPLY SKIP", "SET q 1", "GET q"),
					lines("CLIENT REPLY OFF", "SET q 2", "GET q", "CLIENT REPLY ON", "GET q"),
					lines("SELECT other", "GET q"), lines("SELECT 0", "GET k"), lines("FLUSHDB"), lines("EM.SIBLINGS n"), lines("OBJECT ENCODING n"),
				} {
					if strings.Contains(raw, "FLUSHDB") || strings.Contains(raw, "SIBLINGS") {
						away.ask(t, "SELECT", "r")
						holder.ask(t, "SELECT", "mirror")
					}
					got, want := away.pipe(t, raw), holder.pipe(t, raw)
					if got != want {
						t.Errorf("%q\n is answered %q\n the holder answers %q", raw, got, want)
					}
				}
				var many string
				for i := range 500 {
					many += lines(fmt.Sprint("SET m", i, " ", i), fmt.Sprint("GET m", i))
				}
				if got, want := away.pipe(t, many), holder.pipe(t, many); got != want || len(got) < 5000 {
					t.Errorf("a long pipeline: %d bytes, want %d", len(got), len(want))
				}
			})
		})
	}
}

// TestNothingIsKeptBelow: of what went through, the node without a copy has nothing.
func TestNothingIsKeptBelow(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t)
		away.ask(t, "SET", "k", "v")
		if got := holder.ask(t, "GET", "k"); got != "$1\r\nv\r\n" {
			t.Errorf("the holder reads %q", got)
		}
		if got := away.ask(t, "EM.SOURCE"); !strings.Contains(got, "here\r\n:0\r\n") || !strings.Contains(got, "holder\r\n") {
			t.Errorf("source: %q", got)
		}
		if got := holder.ask(t, "EM.SOURCE"); !strings.Contains(got, "here\r\n:1\r\n") || !strings.Contains(got, "holder\r\n") {
			t.Errorf("source at the holder: %q", got)
		}
		token := away.ask(t, "EM.TOKEN")
		if want := holder.ask(t, "EM.TOKEN"); token != want {
			t.Errorf("token %q, want %q", token, want)
		}
		if got := away.ask(t, "EM.AT", strings.Split(token, "\r\n")[1], "1000"); got != "+OK\r\n" {
			t.Errorf("at its token: %q", got)
		}
		if got := away.ask(t, "WAIT", "0", "100"); !strings.HasPrefix(got, ":") {
			t.Errorf("WAIT: %q", got)
		}
	})
}

// TestWhatDoesNotTravel: is refused, with its reason, and the connection goes on.
func TestWhatDoesNotTravel(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t)
		for _, raw := range []string{
			lines("BLPOP l 0"), lines("BLMOVE a b LEFT RIGHT 0"), lines("XREAD BLOCK 0 STREAMS x $"), lines("BZPOPMIN z 0"),
		} {
			if got := away.pipe(t, raw); !strings.HasPrefix(got, "-ERR ") || !strings.Contains(got, "no copy on this node") {
				t.Errorf("%q: %q", raw, got)
			}
		}
		if got := away.pipe(t, lines("MULTI", "SET a 1", "SELECT r", "EXEC")); !strings.Contains(got, "-EXECABORT") {
			t.Errorf("a SELECT in a transaction: %q", got)
		}
		if got := away.pipe(t, lines("MULTI", "SET a 1", "BLPOP l 0", "EXEC")); !strings.HasSuffix(got, "*2\r\n+OK\r\n*-1\r\n") {
			t.Errorf("what waits, in a transaction: %q", got)
		}
		if got := away.pipe(t, lines("HELLO 3", "CLIENT TRACKING ON", "GET a", "SET a 2", "CLIENT TRACKING OFF", "GET a")); !strings.HasSuffix(got, "+OK\r\n-"+errAwayTrack[0:]+"\r\n+OK\r\n+OK\r\n$1\r\n2\r\n") {
			t.Errorf("tracking: %q", got)
		}
		if got := holder.ask(t, "GET", "a"); got != "$1\r\n2\r\n" {
			t.Errorf("the holder reads %q", got)
		}
	})
}

// TestWatchThroughHolder: EXEC does nothing if a key has changed at the holder since WATCH, by whoever, and all if it has not; and nothing where what was read
// in between may be older.
func TestWatchThroughHolder(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t)
		for _, x := range []struct{ meanwhile, want string }{
			{"", "*1\r\n+OK\r\n"}, {"SET other 1", "*1\r\n+OK\r\n"}, {"SET k theirs", "*-1\r\n"}, {"DEL k", "*-1\r\n"}, {"SADD s x", "*-1\r\n"},
		} {
			if got := away.pipe(t, lines("WATCH k s", "GET k")); !strings.HasPrefix(got, "+OK\r\n$") {
				t.Fatalf("WATCH: %q", got)
			}
			if x.meanwhile != "" {
				holder.pipe(t, lines(x.meanwhile))
			}
			if got := away.pipe(t, lines("MULTI", "SET k mine", "EXEC")); got != "+OK\r\n+QUEUED\r\n"+x.want {
				t.Errorf("%q meanwhile: %q", x.meanwhile, got)
			}
		}
		if got := away.pipe(t, lines("WATCH k", "SET k mine", "MULTI", "SET k again", "EXEC", "UNWATCH", "MULTI", "GET k", "EXEC")); !strings.HasSuffix(got, "+QUEUED\r\n*-1\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$4\r\nmine\r\n") {
			t.Errorf("its own write: %q", got)
		}
		away.pipe(t, lines("WATCH k"))
		time.Sleep(awayWatchMax + time.Second)
		if got := away.pipe(t, lines("MULTI", "SET k late", "EXEC")); !strings.HasSuffix(got, "*-1\r\n") {
			t.Errorf("long after: %q", got)
		}
		away.pipe(t, lines("SELECT 0", "WATCH k", "SELECT r"))
		if got := away.pipe(t, lines("MULTI", "SET k v", "EXEC", "GET k")); !strings.Contains(got, "-EXECABORT") || !strings.HasSuffix(got, "$4\r\nmine\r\n") {
			t.Errorf("a key of another region: %q", got)
		}
		away.m.Cut("away", "holder")
		if got := away.pipe(t, lines("WATCH k", "MULTI", "SET k v", "EXEC")); strings.Count(got, "-NOHOLDER") != 2 {
			t.Errorf("without a holder: %q", got)
		}
	})
}

// TestWatchIsOfOneState: where another holder answers, which lacks some of what the one had that WATCH asked, EXEC does nothing.
func TestWatchIsOfOneState(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		all := stations(t, "away", "h1", "h2")
		m, away := all[0].m, all[0]
		m.Heal("h2", "away")
		if _, err := all[1].f.CreateRegion(t.Context(), "r", fabric.RegionConfig{Placement: fabric.Placement{Kind: "demand"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		r, err := all[2].f.Region("r")
		if err == nil {
			err = r.TakeCopy(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for _, s := range all {
			s.ask(t, "SELECT", "r")
		}
		away.pipe(t, lines("SET k v", "SET other old", "GET k"))
		time.Sleep(10 * time.Second)
		first := all[1]
		if strings.Contains(away.ask(t, "EM.SOURCE"), "h2") {
			first = all[2]
		}
		for _, lacks := range []bool{false, true} {
			m.Cut("h1", "h2")
			if lacks {
				first.ask(t, "SET", "other", "new")
			}
			if got := away.pipe(t, lines("WATCH k", "EM.SOURCE")); !strings.Contains(got, string(first.f.Node())) {
				t.Fatalf("WATCH asked another one: %q", got)
			}
			m.Cut("away", first.f.Node())
			if got := away.pipe(t, lines("GET other")); !strings.Contains(got, "old") {
				t.Errorf("read %q", got)
			}
			want := "*1\r\n+OK\r\n"
			if lacks {
				want = "*-1\r\n"
			}
			if got := away.pipe(t, lines("MULTI", "SET k mine", "EXEC")); !strings.HasSuffix(got, "+QUEUED\r\n"+want) {
				t.Errorf("where the other one lacks a write (%v): %q", lacks, got)
			}
			m.Heal("away", first.f.Node())
			m.Heal("h1", "h2")
			time.Sleep(2 * time.Minute)
		}
	})
}

// TestStateThatWasTold: EM.WATCH holds EXEC to what EM.PRINT told, also behind MULTI, and to whom it was told does not matter.
func TestStateThatWasTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t)
		for _, s := range []*station{away, holder} {
			s.pipe(t, lines("SET k v"))
			print := strings.Split(holder.ask(t, "EM.PRINT", "k"), "\r\n")[2]
			if got := s.ask(t, "EM.PRINT", "none", "k"); got != "*2\r\n$16\r\n0000000000000000\r\n$16\r\n"+print+"\r\n" {
				t.Errorf("EM.PRINT: %q", got)
			}
			if got := s.pipe(t, lines("EM.WATCH k "+print, "MULTI", "EM.WATCH none 0", "SET k w", "EXEC")); got != "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n" {
				t.Errorf("unchanged: %q", got)
			}
			if got := s.pipe(t, lines("MULTI", "EM.WATCH k "+print, "SET k x", "EXEC", "GET k")); got != "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n$1\r\nw\r\n" {
				t.Errorf("changed: %q", got)
			}
			if got := s.pipe(t, lines("MULTI", "EM.WATCH k z", "SET k x", "EXEC", "EM.WATCH k 0 l", "GET k")); strings.Count(got, "-ERR") != 2 || !strings.Contains(got, "-EXECABORT") || !strings.HasSuffix(got, "$1\r\nw\r\n") {
				t.Errorf("no state: %q", got)
			}
		}
	})
}

// TestAnswerThatIsNone: whatever a holder answers, a client gets one reply to each command.
func TestAnswerThatIsNone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t)
		for _, answer := range []string{"", "+OK\r\n+OK\r\n", "$10\r\nabc\r\n", "nothing"} {
			holder.f.Answer(awayService, func(_ context.Context, _ *fabric.Asked, w io.Writer) error {
				_, err := io.WriteString(w, answer)
				return err
			})
			if got := away.pipe(t, lines("GET k", "PING")); !strings.HasPrefix(got, "-ERR resp: the holder") || !strings.HasSuffix(got, "command\r\n+PONG\r\n") {
				t.Errorf("%q: %q", answer, got)
			}
			if got := away.pipe(t, lines("SET k v", "PING")); !strings.HasPrefix(got, "-UNCERTAIN") || strings.Count(got, "\r\n") != 2 {
				t.Errorf("%q: %q", answer, got)
			}
			if got := away.pipe(t, lines("WATCH k", "MULTI", "SET k v", "EXEC", "PING")); strings.Count(got, "\r\n") != 5 {
				t.Errorf("%q: %q", answer, got)
			}
		}
	})
}

// TestHolderIsGone: commands are answered with who holds the region.
func TestHolderIsGone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t)
		if err := holder.f.Close(); err != nil {
			t.Fatal(err)
		}
		for _, raw := range []string{lines("GET k"), lines("SET k v"), lines("EM.TOKEN")} {
			if got := away.pipe(t, raw); !strings.HasPrefix(got, "-NOHOLDER ") || !strings.Contains(got, "holder") {
				t.Errorf("%q: %q", raw, got)
			}
		}
		if got := away.pipe(t, lines("GET a", "GET b", "PING", "MULTI", "GET a", "EXEC", "PING")); strings.Count(got, "-NOHOLDER") != 3 || !strings.HasSuffix(got, "+PONG\r\n") {
			t.Errorf("a pipeline: %q", got)
		}
		if got := away.pipe(t, lines("SELECT 0", "SET k v", "GET k")); got != "+OK\r\n+OK\r\n$1\r\nv\r\n" {
			t.Errorf("another region: %q", got)
		}
	})
}

// TestRequestsOfOtherNodes: whatever another node sends, only what may travel is run, and a request that writes nothing writes nothing.
func TestRequestsOfOtherNodes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t)
		ask := func(body string, writes bool) string {
			b, _, err := away.f.Ask(context.Background(), fabric.Request{Region: "r", Service: awayService, Body: []byte(body), Write: writes})
			if err != nil {
				return err.Error()
			}
			return string(b)
		}
		for _, raw := range []string{
			lines("CONFIG SET notify-keyspace-events KEA"), lines("CLIENT KILL ID 1"), lines("SUBSCRIBE c"), lines("SELECT 0"), lines("FLUSHALL"), lines("SHUTDOWN"),
			lines("MONITOR"), lines("BLPOP l 0"), lines("AUTH x"), lines("RESET"), lines("QUIT"), lines("CLIENT TRACKING ON"), lines("HELLO 3"), lines("WATCH k"),
		} {
			if got := ask("\x00"+raw, true); !strings.HasPrefix(got, "-ERR ") {
				t.Errorf("%q: %q", raw, got)
			}
		}
		if got := ask("\x00"+lines("SET k v", "GET k"), false); !strings.HasPrefix(got, "-ERR 'set' is not run") || !strings.HasSuffix(got, "$-1\r\n") {
			t.Errorf("a write that says that it is none: %q", got)
		}
		for _, body := range []string{"", "\x00*99999999\r\n", "\x00*1\r\n$-5\r\n", "\x00*2\r\n$3\r\nGET\r\n$1\r\nk", "\xff"} {
			_ = ask(body, true)
		}
		if got := holder.pipe(t, lines("GET k", "DBSIZE")); got != "$-1\r\n:0\r\n" {
			t.Errorf("the holder has %q", got)
		}
	})
}

// FuzzRequestOfNode: no bytes of another node panic a holder or hold it up.
func FuzzRequestOfNode(f *testing.F) {
	f.Add([]byte("\x01" + lines("SET k v", "GET k", "MULTI", "INCR n", "EXEC")))
	f.Add([]byte("\x02" + lines("MULTI", "SET k v", "EXEC")))
	f.Add([]byte("\x00" + lines("BLPOP l 0", "XREAD BLOCK 0 STREAMS x $", "EM.TOKEN")))
	f.Add([]byte("\x00PING\r\nGET \"a"))
	fab, err := fabric.Open(f.Context(), fabric.Config{Name: "test"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = fab.Close() })
	srv, err := New(Config{Listener: newPipeListener(), Fabric: fab})
	if err != nil {
		f.Fatal(err)
	}
	r, err := fab.Region("r")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if strings.Contains(strings.ToLower(string(body)), "em.at") || strings.Contains(strings.ToLower(string(body)), "wait") {
			return // they wait as they are told to
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var out strings.Builder
		_ = srv.answer(ctx, &fabric.Asked{Region: r, From: crdt.NodeID("n"), Body: body, Write: true}, &out)
		if ctx.Err() != nil {
			t.Fatal("it takes too long")
		}
	})
}

// TestRegionLeavesInBetween: the commands of a request that come after that are not run, and say that they are to be sent again.
func TestRegionLeavesInBetween(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		all := stations(t, "away", "holder", "third") // away is not linked to the third
		away, holder, third := all[0], all[1], all[2]
		if _, err := holder.f.CreateRegion(t.Context(), "r", fabric.RegionConfig{Placement: fabric.Placement{Kind: "demand"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		copyOf := func(s *station) *fabric.Region {
			r, err := s.f.Region("r")
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if err := copyOf(third).TakeCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := copyOf(away); r.Held() {
			if err := r.GiveCopy(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute) // others may have vowed to keep theirs
		given := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			given <- copyOf(holder).GiveCopy(t.Context())
		}()
		ask := func(body string) string {
			b, _, err := away.f.Ask(context.Background(), fabric.Request{Region: "r", Service: awayService, Body: []byte(body), Write: true})
			if err != nil {
				return err.Error()
			}
			return string(b)
		}
		got := ask("\x00" + lines("SET a 1", "WAIT 5 3000", "SET b 1", "GET a"))
		if err := <-given; err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got, "+OK\r\n") || strings.Count(got, "-TRYAGAIN") < 2 || strings.Contains(got, "$1\r\n1") {
			t.Errorf("answered %q", got)
		}
		if got := ask("\x00" + lines("SET b 1")); !strings.HasPrefix(got, fabric.ErrNoHolder.Error()) {
			t.Errorf("when it has left: %q", got)
		}
		third.ask(t, "SELECT", "r")
		if got := third.pipe(t, lines("GET a", "GET b")); got != "$1\r\n1\r\n$-1\r\n" {
			t.Errorf("the other holder has %q", got)
		}
	})
}
