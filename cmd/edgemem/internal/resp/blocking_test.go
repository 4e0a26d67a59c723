package resp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// awaitBlocked waits until so many clients wait at a server.
func awaitBlocked(t *testing.T, s *Server, n int) {
	t.Helper()
	q, late := &s.queues, false
	limit := time.AfterFunc(testPatience, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		late = true
		q.changed.Broadcast()
	})
	defer limit.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.waiting != n {
		if late {
			t.Fatalf("%d clients wait, want %d", q.waiting, n)
		}
		q.changed.Wait()
	}
}

// blockedAt is how many clients wait at a server, by its own account.
func blockedAt(p *peer) int {
	_, rest, _ := strings.Cut(p.do("info", "clients").text, "blocked_clients:")
	count, _, _ := strings.Cut(rest, "\r\n")
	n, _ := strconv.Atoi(count)
	return n
}

// The first that waits is served first, each once, by writes of every kind; what comes behind the blocking command waits with it.
func TestBlockingPops(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	actor := dial(t, addr)
	var waiting []*peer
	for i := range 5 {
		p := dial(t, addr)
		p.send(encode("blpop", "none", "jobs", "0") + encode("echo", fmt.Sprint("then ", i)))
		awaitBlocked(t, s, i+1)
		waiting = append(waiting, p)
	}
	if list := actor.do("client", "list").text; strings.Count(list, " flags=b ") != 5 {
		t.Error(list)
	}
	actor.want(":2", "rpush", "jobs", "a", "b")
	actor.want(":0", "llen", "jobs") // served before anybody else comes in
	actor.do("multi")
	actor.do("rpush", "jobs", "c")
	actor.do("rpush", "jobs", "d")
	actor.do("llen", "jobs")
	if got := actor.do("exec").String(); got != "*[:1 :2 :2]" {
		t.Error("a client was served within a transaction:", got)
	}
	actor.do("rpush", "other", "e")
	actor.want("+OK", "rename", "other", "jobs")
	for i, p := range waiting {
		want := fmt.Sprintf(`*["jobs" %q]`, string(rune('a'+i)))
		if got := p.read().String(); got != want {
			t.Errorf("client %d: %s, want %s", i, got, want)
		}
		if got := p.read().text; got != fmt.Sprint("then ", i) {
			t.Errorf("behind it: %q", got)
		}
	}
	awaitBlocked(t, s, 0)
}

// A chain: what BLMOVE moves wakes who waits there.
func TestBlockingMovesChain(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	actor, last, middle := dial(t, addr), dial(t, addr), dial(t, addr)
	last.send(encode("brpop", "second", "0"))
	awaitBlocked(t, s, 1)
	middle.send(encode("blmove", "first", "second", "left", "right", "0"))
	awaitBlocked(t, s, 2)
	actor.want(":1", "lpush", "first", "x")
	if got := middle.read().text; got != "x" {
		t.Error(got)
	}
	if got := last.read().String(); got != `*["second" "x"]` {
		t.Error(got)
	}
	actor.want(":0", "exists", "first", "second")
}

// A wait ends by its timeout, by CLIENT UNBLOCK, by the end of the connection, and leaves nothing behind.
func TestBlockingEnds(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	actor, p := dial(t, addr), dial(t, addr)
	for _, c := range [][]string{{"blpop", "a", "0.01"}, {"bzpopmin", "a", "b", "0.01"}, {"blmpop", "0.01", "1", "a", "left"}, {"bzmpop", "0.01", "1", "a", "min"}, {"blmove", "a", "b", "left", "left", "0.01"}} {
		if got := p.do(c...); len(got.items) != 0 || got.text != "-1" && got.text != "" {
			t.Errorf("%q: %s", c, got)
		}
	}
	id := strconv.FormatInt(func() int64 { n, _ := strconv.ParseInt(p.do("client", "id").text, 10, 64); return n }(), 10)
	p.send(encode("blpop", "a", "0"))
	awaitBlocked(t, s, 1)
	actor.want(":1", "client", "unblock", id)
	actor.want(":0", "client", "unblock", id)
	if got := p.read(); len(got.items) != 0 {
		t.Error(got)
	}
	p.send(encode("blpop", "a", "0"))
	awaitBlocked(t, s, 1)
	actor.want(":1", "client", "unblock", id, "ERROR")
	if got := p.read().text; !strings.HasPrefix(got, "UNBLOCKED ") {
		t.Error(got)
	}
	p.send(encode("brpop", "a", "b", "0"))
	awaitBlocked(t, s, 1)
	_ = p.conn.Close()
	awaitBlocked(t, s, 0)
	actor.want(":1", "rpush", "a", "x")
	actor.want(":1", "llen", "a") // nobody took it
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	if len(s.queues.of) != 0 || s.queues.interest.Load() != 0 {
		t.Errorf("left behind: %v, %d", s.queues.of, s.queues.interest.Load())
	}
}

// Clients that wait do not keep a server from stopping, and more that comes behind them than their buffers hold ends them.
func TestBlockingIsBounded(t *testing.T) {
	t.Parallel()
	s, addr := start(t, func(c *Config) { c.Limits.BufferedBytes = 1 << 20 })
	actor, p := dial(t, addr), dial(t, addr)
	dial(t, addr).send(encode("blpop", "never", "0")) // the server stops with this one
	p.send(encode("blpop", "never", "0"))
	awaitBlocked(t, s, 2)
	go func() { // ends with the connection
		line := encode("echo", strings.Repeat("x", 1000))
		for range 10_000 {
			if _, err := p.conn.Write([]byte(line)); err != nil {
				return
			}
		}
	}()
	awaitBlocked(t, s, 1)
	actor.want("-ERR the keys to wait for are longer than 1 MiB", append(append([]string{"blpop"}, strings.Split(strings.Repeat("k ", 10_000), " ")...), "0")...)
}

// What is written elsewhere in the mesh, and what Go programs write, wakes as well.
func TestBlockingWakesByMerge(t *testing.T) {
	t.Parallel()
	here, there := twoNodes(t)
	s, addr := start(t, func(c *Config) { c.Fabric = here })
	_, other := start(t, func(c *Config) { c.Fabric = there })
	p, actor, far := dial(t, addr), dial(t, addr), dial(t, other)
	p.send(encode("hello", "3") + encode("subscribe", "news") + encode("bzpopmax", "board", "0"))
	p.read()
	p.read()
	awaitBlocked(t, s, 1)
	actor.want(":1", "publish", "news", "flash")
	if got := p.read(); got.kind != '>' { // a message does not wait behind the command that waits
		t.Error(got)
	}
	far.want(":2", "zadd", "board", "1", "low", "2", "high")
	if got := p.read().String(); got != `*["board" "high" ,2]` {
		t.Error(got)
	}
	p.send(encode("brpop", "list", "0"))
	awaitBlocked(t, s, 1)
	r, err := here.Region(defaultRegion)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Update(t.Context(), func(tx *crdt.Tx) error { return tx.ListInsert("list", 0, []byte("by Go")) }); err != nil {
		t.Fatal(err)
	}
	if got := p.read().String(); got != `*["list" "by Go"]` {
		t.Error(got)
	}
}

// Many clients pop what many push: each element reaches one of them.
func TestBlockingUnderLoad(t *testing.T) {
	t.Parallel()
	const clients, each = 20, 50
	_, addr := start(t, nil)
	got := make(chan string, clients*each)
	for range clients {
		p := dial(t, addr)
		go func() { // ends when it has its share
			for range each {
				p.send(encode("blpop", "jobs", "other", "0"))
				if v := p.read(); len(v.items) == 2 {
					got <- v.items[1].text
				}
			}
		}()
	}
	var pushers sync.WaitGroup
	defer pushers.Wait() // for their last replies
	for i := range 4 {
		p := dial(t, addr)
		pushers.Go(func() {
			for n := range clients * each / 4 {
				p.do("rpush", []string{"jobs", "other"}[n%2], fmt.Sprint(i, "-", n))
			}
		})
	}
	seen := make(map[string]bool)
	for range clients * each {
		select {
		case x := <-got:
			if seen[x] {
				t.Errorf("%s came twice", x)
			}
			seen[x] = true
		case <-time.After(testPatience):
			t.Fatalf("%d of %d came", len(seen), clients*each)
		}
	}
}

// blocker is a connection to each of the two servers that may wait.
type blocker struct {
	both
	waits bool
	line  []string
}

// TestBlocksAsRedisDoes: random commands of several clients, of which some wait, at edgemem and at Redis.
func TestBlocksAsRedisDoes(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := maker{rand.New(rand.NewPCG(seed, seed))}
	actor := dialBoth(t, addr, redis)
	actor.run([][]string{{"flushdb"}})
	clients := make([]*blocker, 4)
	for i := range clients {
		clients[i] = &blocker{both: *dialBoth(t, addr, redis)}
	}
	waiting := 0
	for range 2000 {
		if i := m.r.IntN(3 * len(clients)); i < len(clients) && !clients[i].waits {
			c := clients[i]
			c.line = m.blockingCommand()
			actor.log = append(actor.log, fmt.Sprintf("client %d: %q", i, c.line))
			c.log = actor.log
			raw := encode(c.line...) + encode("ping")
			c.ours.send(raw)
			c.redis.send(raw)
			c.waits = true
			waiting++
		} else {
			line := m.blockingActor()
			actor.run([][]string{line})
		}
		for {
			a, b := blockedAt(actor.ours), blockedAt(actor.redis)
			answered := waiting - b
			if a == b && answered >= 0 {
				waiting = settleBlockers(t, actor, clients, b)
				if waiting == b {
					break
				}
			}
		}
	}
}

// settleBlockers reads the replies of clients until as many wait as the servers say, and compares them.
func settleBlockers(t *testing.T, actor *both, clients []*blocker, blocked int) (waiting int) {
	t.Helper()
	for _, c := range clients {
		if c.waits {
			waiting++
		}
	}
	for i, c := range clients {
		if !c.waits || waiting == blocked || !c.answered() {
			continue
		}
		c.log = actor.log
		ours, redis := c.ours.read(), c.redis.read()
		c.compare(c.line, ours, redis)
		c.compare([]string{"ping"}, c.ours.read(), c.redis.read())
		actor.log = append(actor.log, fmt.Sprintf("client %d: %s", i, redis))
		c.waits = false
		waiting--
	}
	return waiting
}

// answered says whether Redis has answered the client: then edgemem must.
func (c *blocker) answered() bool {
	_ = c.redis.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.redis.r.Peek(1)
	_ = c.redis.conn.SetReadDeadline(time.Now().Add(testPatience))
	return err == nil
}

func (m maker) blockingKey() string { return m.pick("q:1", "q:2", "q:3", "z:1", "z:2", "text") }

func (m maker) blockingCommand() []string {
	timeout := m.pick("0", "0", "0", "0", "0.0", "x", "-1", "0x0", "1e30")
	keys := m.several(3, m.blockingKey)
	counted := append([]string{timeout, strconv.Itoa(len(keys))}, keys...)
	switch m.r.IntN(8) {
	case 6, 7:
		return m.blockingRead()
	case 0:
		return append(append([]string{m.pick("bzpopmin", "bzpopmax")}, keys...), timeout)
	case 1:
		return append(append(append([]string{"blmpop"}, counted...), m.pick("left", "RIGHT", "up")), m.pickList(nil, nil, []string{"count", "2"}, []string{"count", "0"})...)
	case 2:
		return append(append(append([]string{"bzmpop"}, counted...), m.pick("min", "MAX")), m.pickList(nil, []string{"count", "2"})...)
	case 3:
		return []string{"blmove", m.blockingKey(), m.blockingKey(), m.pick("left", "right"), m.pick("left", "right", "x"), timeout}
	case 4:
		return []string{"brpoplpush", m.blockingKey(), m.blockingKey(), timeout}
	}
	return append(append([]string{m.pick("blpop", "brpop")}, keys...), timeout)
}

// blockingRead is an XREAD that may wait.
func (m maker) blockingRead() []string {
	keys := m.several(3, func() string { return m.pick("st:1", "st:2", "st:2", "q:1") })
	slices.Sort(keys)
	keys = slices.Compact(keys)
	out := append([]string{"xread", "block", m.pick("0", "0", "0", "x", "-1")}, m.upToPair("count", "1", "2")...)
	out = append(append(out, "streams"), keys...)
	for range keys {
		out = append(out, m.pick("$", "$", "$", "0", "5-1", "5-2", "5-9", "9", ">", "x"))
	}
	return out
}

func (m maker) blockingActor() []string {
	list, set, stream := m.pick("q:1", "q:2", "q:3"), m.pick("z:1", "z:2"), m.pick("st:1", "st:2")
	switch m.r.IntN(11) {
	case 8, 9:
		return []string{"xadd", stream, m.pick("5-*", "5-*", "6-*", "9-*"), "f", m.member()}
	case 10:
		return []string{m.pick("del", "xlen"), stream}
	case 0, 1:
		return append([]string{m.pick("rpush", "lpush"), list}, m.several(3, m.member)...)
	case 2, 3:
		return []string{"zadd", set, "1", m.member(), "2", m.member()}
	case 4:
		return []string{"del", m.blockingKey()}
	case 5:
		return []string{"set", m.pick("text", "q:1"), "x"}
	case 6:
		return []string{"rename", m.blockingKey(), m.blockingKey()}
	}
	return []string{m.pick("lpop", "rpop", "llen"), list}
}
