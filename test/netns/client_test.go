package netns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/history"
)

// pool is what all clients of a site share: slots that they write against each other. The window moves on, so that no
// slot sees more operations than the checker likes.
type pool struct{ turn atomic.Uint64 }

const (
	windowTurns = 200 // shared operations in a window
	windowSlots = 6   // of each kind in a window
	oldWindows  = 4   // that are written to as well
	ownSlots    = 8   // that a client alone writes to before it takes new ones
	batchMax    = 6   // the longest pipeline
	oneIsOwn    = 3   // one operation in so many is on a slot of the client's own
)

// client writes to one node without end, reads in between, and records everything. It survives the node's restarts.
type client struct {
	at     *member
	region string
	id     string
	pool   *pool
	log    *history.Log
	rnd    *rand.Rand
	pause  time.Duration // between pipelines
	serial int
}

// write starts clients at each of the nodes, one for each region; rest stops them. None of them may ever be answered
// with an error: neither reading nor writing depends on the network.
func (s *site) write(members ...*member) { s.writeEvery(5*time.Millisecond, members...) }

func (s *site) writeEvery(pause time.Duration, members ...*member) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	s.runs++
	for i, m := range members {
		for j, r := range s.regions {
			c := &client{at: m, region: r, id: fmt.Sprintf("%d.%s.%s", s.runs, m.Name, r), pool: &s.pool, log: s.log, pause: pause,
				rnd: rand.New(rand.NewPCG(*seed, uint64(s.runs)<<16|uint64(i)<<8|uint64(j)))}
			wg.Go(func() {
				if err := c.run(ctx); err != nil {
					s.t.Errorf("client %s: %v", c.id, err)
				}
			})
		}
	}
	s.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	s.t.Cleanup(s.stop)
}

func (s *site) rest() { s.stop() }

// written waits until so many more writes are acknowledged.
func (s *site) written(more uint64) {
	s.t.Helper()
	want := s.log.Answered() + more
	harness.Eventually(s.t, harness.Patience, "acknowledged writes", func() error {
		if got := s.log.Answered(); got < want {
			return fmt.Errorf("%d of %d", got, want)
		}
		return nil
	})
}

// run ends with ctx, or with an error if the node answers what it must not; that it is down is none.
func (c *client) run(ctx context.Context) error {
	for life := 0; ctx.Err() == nil; life++ {
		conn, session := c.connect(life)
		if conn == nil {
			pause(ctx, 5*time.Millisecond)
			continue
		}
		err := c.talk(ctx, conn, session)
		conn.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// connect gives a connection to a life of the node, and that life: the one that was there before the connection and after it
// answered.
func (c *client) connect(n int) (*harness.Conn, *history.Session) {
	before, alive := c.at.now()
	if !alive {
		return nil, nil
	}
	conn, err := harness.Dial(c.at.RESP())
	if err != nil {
		return nil, nil
	}
	_, err = conn.Do("SELECT", c.region)
	after, alive := c.at.now()
	if err != nil || !alive || before != after {
		conn.Close()
		return nil, nil
	}
	return conn, c.log.Session(fmt.Sprintf("%s/%d", c.id, n), after)
}

// talk sends pipelines until ctx ends or the connection breaks.
func (c *client) talk(ctx context.Context, conn *harness.Conn, session *history.Session) error {
	for ctx.Err() == nil {
		ops := make([]history.Op, 1+c.rnd.IntN(batchMax))
		for i := range ops {
			ops[i] = c.next()
		}
		if broken, err := send(c.log, conn, session, ops); broken || err != nil {
			return err
		}
		pause(ctx, c.pause)
	}
	return nil
}

// send sends operations as one pipeline, and records how they fared.
func send(log *history.Log, conn *harness.Conn, session *history.Session, ops []history.Op) (broken bool, err error) {
	cmds := make([][]string, len(ops))
	for i := range ops {
		cmds[i] = command(ops[i])
	}
	invoked := log.Now()
	replies, broke := conn.Pipeline(cmds)
	returned := log.Now()
	for i := range ops {
		ops[i].Invoked = invoked
		if i < len(replies) {
			ops[i].Returned = returned
			if err := answer(&ops[i], replies[i]); err != nil {
				return false, fmt.Errorf("%q: %w", cmds[i], err)
			}
		}
	}
	session.Record(ops...)
	return broke != nil, nil
}

// next makes up an operation.
func (c *client) next() history.Op {
	c.serial++
	kind := [...]history.Kind{history.String, history.String, history.Set, history.Set, history.Hash, history.Counter}[c.rnd.IntN(6)]
	o := history.Op{Slot: c.slot(kind)}
	dice := c.rnd.IntN(100)
	switch {
	case kind == history.Counter && dice < 85:
		o.Action, o.Number = history.Add, int64(1+c.rnd.IntN(9))
	case dice < 25 || kind == history.Counter:
		o.Action = history.Read
	case dice < 40:
		o.Action, o.Value = history.Remove, history.Absent
	default:
		o.Action, o.Value = history.Write, fmt.Sprintf("%s-%d", c.id, c.serial)
		if kind == history.Set {
			o.Value = history.Present
		}
	}
	return o
}

var letter = map[history.Kind]string{history.String: "s", history.Set: "m", history.Hash: "h", history.Counter: "c"}

// slot picks one of the client's own, or one that all share.
func (c *client) slot(kind history.Kind) history.Slot {
	group, item := fmt.Sprintf("%s.%d", c.id, c.serial/(8*ownSlots)), c.rnd.IntN(ownSlots)
	if c.rnd.IntN(oneIsOwn) > 0 {
		window := int(c.pool.turn.Add(1) / windowTurns)
		group, item = strconv.Itoa(max(0, window-c.rnd.IntN(oldWindows))), c.rnd.IntN(windowSlots)
	}
	s := history.Slot{Region: c.region, Kind: kind, Key: letter[kind] + ":" + group}
	switch kind {
	case history.String, history.Counter:
		s.Key += ":" + strconv.Itoa(item)
	default:
		s.Item = strconv.Itoa(item)
	}
	return s
}

// command spells an operation in the Redis protocol.
func command(o history.Op) []string {
	verbs := map[history.Kind][4]string{
		history.String:  {"SET", "DEL", "", "GET"},
		history.Counter: {"", "", "INCRBY", "GET"},
		history.Set:     {"SADD", "SREM", "", "SISMEMBER"},
		history.Hash:    {"HSET", "HDEL", "", "HGET"},
	}
	line := []string{verbs[o.Slot.Kind][o.Action], o.Slot.Key}
	if o.Slot.Item != "" {
		line = append(line, o.Slot.Item)
	}
	switch {
	case o.Action == history.Add:
		line = append(line, strconv.FormatInt(o.Number, 10))
	case o.Action == history.Write && o.Slot.Kind != history.Set:
		line = append(line, o.Value)
	}
	return line
}

// answer notes a reply.
func answer(o *history.Op, reply any) error {
	if f, ok := reply.(harness.Failure); ok {
		return f
	}
	o.Answered = true
	if o.Action != history.Read {
		return nil
	}
	switch v := reply.(type) {
	case nil:
		o.Value = history.Absent
	case int64: // SISMEMBER
		o.Value = [...]string{history.Absent, history.Present}[v]
	case string:
		o.Value = v
	}
	if o.Slot.Kind != history.Counter {
		return nil
	}
	n, err := strconv.ParseInt(strings.Replace(o.Value, history.Absent, "0", 1), 10, 64)
	o.Number = n
	return err
}
