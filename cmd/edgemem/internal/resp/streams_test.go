package resp

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// apartNodes are two nodes with a client each, and what parts them and lets them meet.
func apartNodes(t *testing.T) (here, there *fabric.Fabric, s *Server, a, b *peer, mesh *fabric.Mesh) {
	t.Helper()
	mesh = fabric.NewMesh(1)
	open := func(name string) *fabric.Fabric {
		f, err := fabric.Open(t.Context(), fabric.Config{Name: name, Transport: mesh.Node(crdt.NodeID(name))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	here, there = open("a"), open("b")
	s, one := start(t, func(c *Config) { c.Fabric = here })
	_, two := start(t, func(c *Config) { c.Fabric = there })
	return here, there, s, dial(t, one), dial(t, two), mesh
}

// Entries that arrive late are read next, by who waits, by who comes again, and by a connection that comes new; each once.
func TestStreamLateEntries(t *testing.T) {
	t.Parallel()
	here, _, s, a, b, mesh := apartNodes(t)
	addr := s.cfg.Listener.Addr().String()
	mesh.Cut("a", "b")
	a.want(`"5-1"`, "xadd", "log", "5-1", "from", "a")
	b.want(`"3-1"`, "xadd", "log", "3-1", "from", "b")
	b.want(`"7-1"`, "xadd", "log", "7-1", "from", "b")
	five := `*["5-1" *["from" "a"]]`
	a.want(`*[*["log" *[`+five+`]]]`, "xread", "streams", "log", "0")
	waiting, idle := dial(t, addr), dial(t, addr)
	idle.want(`*[*["log" *[`+five+`]]]`, "xread", "count", "1", "streams", "log", "4")
	waiting.send(encode("xread", "block", "0", "streams", "log", "5-1"))
	awaitBlocked(t, s, 1)
	late := `*["3-1" *["from" "b"]] *["7-1" *["from" "b"]]`
	mesh.Heal("a", "b")
	awaitReply(t, here, a, ":3", "xlen", "log")
	got := waiting.read().items[0].items[1].items // what came by one merge, or the first of it
	if len(got) == 1 {
		got = append(got, waiting.do("xread", "streams", "log", got[0].items[0].text).items[0].items[1].items...)
	}
	if len(got) != 2 || !strings.Contains(late, got[0].String()) || !strings.Contains(late, got[1].String()) || got[0].String() == got[1].String() {
		t.Errorf("who waited got %v", got)
	}
	for name, p := range map[string]*peer{"the same connection": a, "one that read meanwhile": idle, "a new one": dial(t, addr)} {
		if got := p.do("xread", "streams", "log", "5-1").String(); got != `*[*["log" *[`+late+`]]]` {
			t.Errorf("%s reads on: %s", name, got)
		}
		p.want("nil", "xread", "streams", "log", "7-1")
	}
	a.want(`*[`+`*["3-1" *["from" "b"]] `+five+` *["7-1" *["from" "b"]]]`, "xrange", "log", "-", "+")
	a.want(`*[*["log" *[*["7-1" *["from" "b"]]]]]`, "xread", "streams", "log", "+")
	b.want("-"+errStreamTop, "xadd", "log", "7-1", "f", "v")
}

// A connection that reads several streams knows its place in each, however often the others move on; and a reader whose last id was
// a late one goes on with what it has not had.
func TestStreamPlacesOfOneConnection(t *testing.T) {
	t.Parallel()
	here, _, s, a, b, mesh := apartNodes(t)
	mesh.Cut("a", "b")
	a.want(`"5-1"`, "xadd", "slow", "5-1", "f", "a")
	b.want(`"3-1"`, "xadd", "slow", "3-1", "f", "b")
	a.want(`*[*["slow" *[*["5-1" *["f" "a"]]]]]`, "xread", "streams", "slow", "fast", "0", "0")
	s.places.mu.Lock()
	s.places.most = 10 * placeOverhead // the server forgets sooner than the connection
	s.places.mu.Unlock()
	last := "0"
	for i := range 500 {
		a.do("xadd", "fast", fmt.Sprintf("%d-1", i+1), "f", "v")
		reply := a.do("xread", "streams", "slow", "fast", "5-1", last)
		if len(reply.items) != 1 || reply.items[0].items[0].text != "fast" {
			t.Fatal(reply)
		}
		last = fmt.Sprintf("%d-1", i+1)
	}
	mesh.Heal("a", "b")
	awaitReply(t, here, a, ":2", "xlen", "slow")
	a.want(`*[*["slow" *[*["3-1" *["f" "b"]]]]]`, "xread", "streams", "slow", "fast", "5-1", last)
	a.want("nil", "xread", "streams", "slow", "fast", "3-1", last)
	other := dial(t, s.cfg.Listener.Addr().String()) // which has had 3-1 elsewhere, and not 5-1
	other.want(`*[*["slow" *[*["5-1" *["f" "a"]]]]]`, "xread", "streams", "slow", "3-1")
}

// A new id is beyond all that shows, whatever the clock says, and two nodes do not take one.
func TestStreamNewIDs(t *testing.T) {
	t.Parallel()
	_, _, _, a, b, mesh := apartNodes(t)
	mesh.Cut("a", "b")
	form := regexp.MustCompile(`^(\d+)-(\d+)$`)
	seqs := map[string]bool{}
	for _, p := range []*peer{a, b} {
		p.want(`"99999999999999-7"`, "xadd", "s", "99999999999999-7", "f", "v")
		id := p.do("xadd", "s", "*", "f", "v").text
		m := form.FindStringSubmatch(id)
		if m == nil || m[1] != "99999999999999" || seqs[m[2]] {
			t.Fatalf("a new id: %s beside %v", id, seqs)
		}
		seqs[m[2]] = true
		for range 300 { // more than a seq's worth
			next := p.do("xadd", "s", "*", "f", "v").text
			if ok := newerID(t, next, id); !ok {
				t.Fatalf("%s behind %s", next, id)
			}
			id = next
		}
	}
}

func newerID(t *testing.T, next, id string) bool {
	t.Helper()
	x, _, okX := parseStreamID([]byte(next), 0)
	y, _, okY := parseStreamID([]byte(id), 0)
	if !okX || !okY {
		t.Fatal(next, id)
	}
	return x.Compare(y) > 0
}

// All who wait are served, each from its own place; a stream that goes and comes again is another.
func TestStreamBlocks(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	actor := dial(t, addr)
	actor.want(`"1-1"`, "xadd", "s", "1-1", "f", "1")
	actor.want(`"1-2"`, "xadd", "s", "1-2", "f", "2")
	var waiting []*peer
	for i, line := range [][]string{{"$"}, {"1-2"}, {"9"}, {"+"}} {
		p := dial(t, addr)
		if line[0] == "+" { // of another stream that there is not yet
			p.send(encode("xread", "block", "0", "streams", "none", "+"))
		} else {
			p.send(encode("xread", "count", "5", "block", "0", "streams", "none", "s", "$", line[0]) + encode("echo", "then"))
		}
		awaitBlocked(t, s, i+1)
		waiting = append(waiting, p)
	}
	actor.want(`"1-3"`, "xadd", "s", "1-3", "f", "3")
	for _, p := range waiting[:2] {
		if got := p.read().String(); got != `*[*["s" *[*["1-3" *["f" "3"]]]]]` {
			t.Error(got)
		}
		if got := p.read().text; got != "then" {
			t.Error(got)
		}
	}
	awaitBlocked(t, s, 2)
	actor.want(`"1-1"`, "xadd", "none", "1-1", "f", "x")
	for i, p := range waiting[2:] {
		if got, want := p.read().String(), `*[*["none" *[*["1-1" *["f" "x"]]]]]`; got != want {
			t.Error(i, got)
		}
	}
	p := waiting[0]
	p.want("nil", "xread", "block", "1", "streams", "s", "1-3")
	actor.want(":1", "del", "s")
	actor.want(`"1-2"`, "xadd", "s", "1-2", "f", "again")
	p.want("nil", "xread", "streams", "s", "1-3")
	p.send(encode("xread", "block", "0", "streams", "s", "1-3"))
	awaitBlocked(t, s, 1)
	actor.want(`"1-3"`, "xadd", "s", "1-3", "f", "again")
	actor.want("+OK", "multi")
	actor.do("xread", "block", "0", "streams", "s", "1-3")
	actor.do("xadd", "s", "1-4", "f", "new")
	actor.want(`*[nil "1-4"]`, "exec")
	if got := p.read().String(); got != `*[*["s" *[*["1-4" *["f" "new"]]]]]` {
		t.Error(got)
	}
	if n := s.queues.interest.Load(); n != 0 {
		t.Error(n, "are interested still")
	}
}

// With ~ whole hundreds go.
func TestStreamTrimsAbout(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	var raw strings.Builder
	for i := range 350 {
		raw.WriteString(encode("xadd", "s", fmt.Sprintf("%d-1", i+1), "f", "v"))
	}
	p.send(raw.String())
	for range 350 {
		p.read()
	}
	p.want(":0", "xtrim", "s", "maxlen", "~", "251")
	p.want(":100", "xtrim", "s", "minid", "~", "200")
	p.want(":0", "xtrim", "s", "maxlen", "~", "1", "limit", "99")
	p.want(":100", "xtrim", "s", "maxlen", "~", "1", "limit", "100")
	p.want(`"999-1"`, "xadd", "s", "maxlen", "=", "2", "999-1", "f", "v")
	p.want(":2", "xlen", "s")
	p.want(":2", "xtrim", "s", "maxlen", "~", "0")
	p.want("+stream", "type", "s")
}

func TestStreamElsewhere(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p, listener := dial(t, addr), dial(t, addr)
	p.want("+OK", "config", "set", "notify-keyspace-events", "KEtg")
	listener.do("psubscribe", "__keyevent@0__:*")
	p.want(`"1-1"`, "xadd", "s", "1-1", "f", "v")
	p.want(`"1-2"`, "xadd", "s", "1-2", "f", strings.Repeat("x", 1000))
	p.want(":1", "xdel", "s", "1-2")
	p.want(":0", "xdel", "s", "1-2")
	p.want("+OK", "xsetid", "s", "1-9")
	p.want(":1", "xtrim", "s", "maxlen", "0")
	p.want(`"1-10"`, "xadd", "s", "maxlen", "1", "1-10", "f", "v")
	p.want(`"1-11"`, "xadd", "s", "maxlen", "1", "1-11", "f", "v")
	p.want(":1", "xtrim", "s", "maxlen", "0")
	for _, want := range []string{"xadd", "xadd", "xdel", "xsetid", "xtrim", "xadd", "xadd", "xtrim", "xtrim"} {
		if got := listener.read().items[2].text; got != "__keyevent@0__:"+want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	p.want("+OK", "rename", "s", "empty")
	info := p.do("xinfo", "stream", "empty").String()
	if !strings.Contains(info, `"last-generated-id" "1-11" "max-deleted-entry-id" "1-2" "entries-added" :4`) {
		t.Error(info)
	}
	p.want(`"stream"`, "object", "encoding", "empty")
	p.want("-ERR 'dump' of a stream not supported by edgemem", "dump", "empty")
	p.want(`"2-1"`, "xadd", "big", "2-1", "f", strings.Repeat("x", 1000))
	if n, _ := strconv.Atoi(p.do("memory", "usage", "big").text); n < 1000 || n > 1300 {
		t.Error("takes", n)
	}
	p.want(`*["0" *["big"]]`, "scan", "0", "type", "stream", "match", "big")
	if got := p.do("xadd", "big", "*", "f", strings.Repeat("x", crdt.MaxValueBytes)).String(); !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("%.100s", got)
	}
	p.want(`*["a" "b"]`, "command", "getkeys", "xread", "block", "0", "streams", "a", "b", "0", "0")
	p.want("-NOGROUP No such consumer group 'g' for key name 'big'", "xinfo", "consumers", "big", "g")
}

// Places take so much and no more, and the oldest go first.
func TestStreamPlacesAreBounded(t *testing.T) {
	t.Parallel()
	p := places{most: 3 * placeOverhead}
	key := func(i int) placeKey { return placeKey{key: "s", id: crdt.StreamID{MS: uint64(i)}} }
	at := func(i int) streamPlace { return streamPlace{top: crdt.StreamID{MS: uint64(i)}} }
	for i := range 100 {
		p.put(key(i), at(i))
		p.put(key(i), at(i+1))
		p.put(placeKey{key: strings.Repeat("k", p.most)}, at(i))
		if got, ok := p.get(key(i)); !ok || got != at(i+1) || p.held() > p.most || len(p.of) != len(p.queue) || len(p.of) > 2 {
			t.Fatal(i, got, ok, p.held(), len(p.of))
		}
	}
	if _, ok := p.get(key(0)); ok {
		t.Error("the oldest is still there")
	}
}

// FuzzStreamID: an id is read as Redis reads it, or not at all.
func FuzzStreamID(f *testing.F) {
	for _, s := range []string{"1-2", "0", "18446744073709551615-*", " +7-007", "-", "1--1", "9\x00-9"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		id, auto, ok := parseStreamID(arg, math.MaxUint64)
		if !ok {
			return
		}
		if again, _, ok := parseStreamID([]byte(id.String()), 0); !auto && (!ok || again != id) {
			t.Fatalf("%q is %v, and that %v", arg, id, again)
		}
	})
}
