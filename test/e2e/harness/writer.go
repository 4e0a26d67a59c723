package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Writer is one client that writes without end to one node and notes every write in a ledger. It survives
// the node's restarts.
type Writer struct {
	Node   *Node
	Region string
	ID     string // unique among the ledger's writers
	Ledger *Ledger
	Seed   uint64
	// Pause is the time between batches; 0 writes as fast as the node answers.
	Pause time.Duration
	// LongMax makes one value in eight as long as chance says, up to so many bytes; 0 keeps all short.
	LongMax int

	rnd    *rand.Rand
	serial int
	stale  int // grows when outcomes became unknown, so that their slots are not used again
	alive  map[Kind][]Slot
}

// batchMax is the longest pipeline.
const batchMax = 8

// write is one command with what it does to the ledger.
type write struct {
	args []string
	slot Slot
	try  uint64
	key  string // a counter
	by   int64
}

// Run writes until ctx ends. An error means that the node answered what it must not; that it is down is none.
func (w *Writer) Run(ctx context.Context) error {
	w.rnd = rand.New(rand.NewPCG(w.Seed, 1))
	w.alive = map[Kind][]Slot{}
	for ctx.Err() == nil {
		c, origin, err := w.connect()
		if err != nil {
			w.wait(ctx, pollFirst) // the node is down
			continue
		}
		err = w.session(ctx, c, origin)
		c.Close()
		if err != nil {
			return fmt.Errorf("writer %s: %w", w.ID, err)
		}
	}
	return nil
}

func (w *Writer) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// connect also says which incarnation of the node will acknowledge.
func (w *Writer) connect() (c *Conn, origin string, err error) {
	s := w.Node.Started()
	if c, err = Dial(s.Node.RESP); err != nil {
		return nil, "", err
	}
	if _, err = c.Do("SELECT", w.Region); err != nil {
		c.Close()
	}
	return c, s.Node.Origin, err
}

// session writes until ctx ends or the connection breaks.
func (w *Writer) session(ctx context.Context, c *Conn, origin string) error {
	for ctx.Err() == nil {
		batch := make([]write, 1+w.rnd.IntN(batchMax))
		cmds := make([][]string, len(batch))
		for i := range batch {
			batch[i] = w.next()
			cmds[i] = batch[i].args
		}
		replies, err := c.Pipeline(cmds)
		for i, reply := range replies {
			if f, ok := reply.(Failure); ok {
				return fmt.Errorf("%q: %w", cmds[i], f)
			}
			w.acknowledge(batch[i])
		}
		w.Ledger.Dots(origin, len(replies))
		if err != nil {
			w.retire()
			return nil
		}
		if w.Pause > 0 {
			w.wait(ctx, w.Pause)
		}
	}
	return nil
}

func (w *Writer) acknowledge(x write) {
	if x.key != "" {
		w.Ledger.AckAdd(x.key, x.by)
		return
	}
	w.Ledger.Ack(x.slot, x.try)
}

// retire leaves the slots whose outcome may be unknown as they are. A write that was pushed to a peer and
// then lost here by kill -9 comes back later, next to whatever was written in its place.
func (w *Writer) retire() {
	w.stale++
	clear(w.alive)
}

// next makes a write and tells the ledger.
func (w *Writer) next() write {
	w.serial++
	switch n := w.rnd.IntN(100); {
	case n < 25:
		return w.set(w.fresh(String))
	case n < 35:
		return w.set(w.old(String))
	case n < 55:
		return w.incr()
	case n < 70:
		return w.sadd(w.fresh(Set))
	case n < 75:
		return w.remove("SREM", Set)
	case n < 90:
		return w.hset(w.fresh(Hash))
	case n < 93:
		return w.hset(w.old(Hash))
	case n < 97:
		return w.remove("HDEL", Hash)
	default:
		return w.remove("DEL", String)
	}
}

// fresh names a slot that was never written.
func (w *Writer) fresh(k Kind) Slot {
	s := Slot{Kind: k, Key: fmt.Sprintf("%s:%s:%d", k, w.ID, w.serial%7)}
	if k == String {
		s.Key = fmt.Sprintf("string:%s:%d", w.ID, w.serial)
	} else {
		s.Item = strconv.Itoa(w.serial)
	}
	w.alive[k] = append(w.alive[k], s)
	return s
}

// old picks a slot that was written, if there is one.
func (w *Writer) old(k Kind) Slot {
	if len(w.alive[k]) == 0 {
		return w.fresh(k)
	}
	return w.alive[k][w.rnd.IntN(len(w.alive[k]))]
}

func (w *Writer) value() string {
	v := fmt.Sprintf("%s-%d-%d", w.ID, w.stale, w.serial)
	if w.LongMax > 0 && w.rnd.IntN(8) == 0 {
		v += strings.Repeat(".", w.rnd.IntN(w.LongMax))
	}
	return v
}

func (w *Writer) set(s Slot) write {
	v := w.value()
	return write{args: []string{"SET", s.Key, v}, slot: s, try: w.Ledger.Try(s, v)}
}

func (w *Writer) sadd(s Slot) write {
	return write{args: []string{"SADD", s.Key, s.Item}, slot: s, try: w.Ledger.Try(s, Present)}
}

func (w *Writer) hset(s Slot) write {
	v := w.value()
	return write{args: []string{"HSET", s.Key, s.Item, v}, slot: s, try: w.Ledger.Try(s, v)}
}

// remove takes a slot out and never writes to it again, so that each removal takes a dot.
func (w *Writer) remove(cmd string, k Kind) write {
	if len(w.alive[k]) == 0 {
		return w.incr()
	}
	i := w.rnd.IntN(len(w.alive[k]))
	s := w.alive[k][i]
	w.alive[k][i] = w.alive[k][len(w.alive[k])-1]
	w.alive[k] = w.alive[k][:len(w.alive[k])-1]
	args := []string{cmd, s.Key}
	if s.Item != "" {
		args = append(args, s.Item)
	}
	return write{args: args, slot: s, try: w.Ledger.TryRemove(s)}
}

// incr adds to one of a few counters that all writers share.
func (w *Writer) incr() write {
	by := int64(1 + w.rnd.IntN(9))
	key := fmt.Sprintf("counter:%d", w.rnd.IntN(3))
	w.Ledger.TryAdd(key, by)
	return write{args: []string{"INCRBY", key, strconv.FormatInt(by, 10)}, key: key, by: by}
}
