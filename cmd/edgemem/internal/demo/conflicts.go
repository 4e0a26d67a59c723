package demo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/respclient"
)

// clockTick is longer than one tick of the hybrid clocks, so that of two writes on two nodes with this
// much between them, all agree which is the later.
const clockTick = 5 * time.Millisecond

// A conflict is one key that both sides write while neither sees the other.
type conflict struct {
	key    string
	what   string // who did what, for the table: device ‖ cloud
	rule   string
	before [][]string // on the device while connected
	first  move       // then one side writes
	second move       // and, after a tick of the clocks, the other
	want   *wanted    // nil: absent
	ttl    [2]int64   // seconds it may have left, if the rule is about expiry; -1 is none
}

// A move is what one side does.
type move struct {
	side     side
	commands [][]string
}

type side uint8

const (
	onDevice side = iota
	onCloud
	onEdge
)

func device(commands ...[]string) move { return move{onDevice, commands} }
func cloud(commands ...[]string) move  { return move{onCloud, commands} }

func cmd(args ...string) []string { return args }

func text(value string) *wanted { return &wanted{kind: "string", value: value} }

func hash(pairs ...string) *wanted {
	w := &wanted{kind: "hash", fields: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		w.fields[pairs[i]] = pairs[i+1]
	}
	return w
}

func set(members ...string) *wanted {
	w := &wanted{kind: "set", members: map[string]bool{}}
	for _, m := range members {
		w.members[m] = true
	}
	return w
}

// conflicts is the table of what the documents promise.
func conflicts() []conflict {
	const k = "conflict:"
	return []conflict{
		{
			key: k + "string:device", what: "SET north ‖ SET south, device later", rule: "the later write wins",
			before: [][]string{cmd("SET", k+"string:device", "base")},
			first:  cloud(cmd("SET", k+"string:device", "south")),
			second: device(cmd("SET", k+"string:device", "north")),
			want:   text("north"),
		}, {
			key: k + "string:cloud", what: "SET north ‖ SET south, cloud later", rule: "the later write wins",
			before: [][]string{cmd("SET", k+"string:cloud", "base")},
			first:  device(cmd("SET", k+"string:cloud", "north")),
			second: cloud(cmd("SET", k+"string:cloud", "south")),
			want:   text("south"),
		}, {
			key: k + "hash", what: "HSET a, both ‖ HSET b, both", rule: "fields merge one by one",
			before: [][]string{cmd("HSET", k+"hash", "kept", "0", "both", "0")},
			first:  cloud(cmd("HSET", k+"hash", "b", "cloud", "both", "cloud")),
			second: device(cmd("HSET", k+"hash", "a", "device", "both", "device")),
			want:   hash("kept", "0", "a", "device", "b", "cloud", "both", "device"),
		}, {
			key: k + "counter", what: "+5 −2 ‖ +10 −3", rule: "every increment counts once",
			before: [][]string{cmd("SET", k+"counter", "100")},
			first:  cloud(cmd("INCRBY", k+"counter", "10"), cmd("DECRBY", k+"counter", "3")),
			second: device(cmd("INCRBY", k+"counter", "5"), cmd("DECRBY", k+"counter", "2")),
			want:   text("110"),
		}, {
			key: k + "field", what: "HINCRBY 4 ‖ HINCRBY 6", rule: "fields count as counters do",
			before: [][]string{cmd("HINCRBY", k+"field", "n", "1")},
			first:  cloud(cmd("HINCRBY", k+"field", "n", "6")),
			second: device(cmd("HINCRBY", k+"field", "n", "4")),
			want:   hash("n", "11"),
		}, {
			key: k + "set", what: "SADD x, d ‖ SREM x, y SADD c", rule: "an add beats a remove that did not see it",
			before: [][]string{cmd("SADD", k+"set", "x", "y", "z")},
			first:  device(cmd("SADD", k+"set", "x", "d")),
			second: cloud(cmd("SREM", k+"set", "x", "y"), cmd("SADD", k+"set", "c")),
			want:   set("x", "z", "d", "c"),
		}, {
			key: k + "removed", what: "(nothing) ‖ DEL", rule: "a remove holds against the absent",
			before: [][]string{cmd("SET", k+"removed", "old")},
			first:  device(),
			second: cloud(cmd("DEL", k+"removed")),
		}, {
			key: k + "del-incr", what: "INCR ‖ DEL of 10", rule: "DEL takes only what it saw",
			before: [][]string{cmd("INCRBY", k+"del-incr", "10")},
			first:  device(cmd("INCR", k+"del-incr")),
			second: cloud(cmd("DEL", k+"del-incr")),
			want:   text("1"),
		}, {
			key: k + "del-set", what: "SET new ‖ DEL", rule: "DEL takes only what it saw",
			before: [][]string{cmd("SET", k+"del-set", "old")},
			first:  device(cmd("SET", k+"del-set", "new")),
			second: cloud(cmd("DEL", k+"del-set")),
			want:   text("new"),
		}, {
			key: k + "del-hset", what: "HSET late ‖ DEL", rule: "DEL takes only what it saw",
			before: [][]string{cmd("HSET", k+"del-hset", "early", "1")},
			first:  device(cmd("HSET", k+"del-hset", "late", "2")),
			second: cloud(cmd("DEL", k+"del-hset")),
			want:   hash("late", "2"),
		}, {
			key: k + "kinds", what: "SET text ‖ SADD m", rule: "both are kept, a set shows before a string",
			first:  cloud(cmd("SADD", k+"kinds", "m")),
			second: device(cmd("SET", k+"kinds", "text")),
			want:   set("m"),
		}, {
			key: k + "expire", what: "EXPIRE 5000 ‖ EXPIRE 900", rule: "the longest life wins",
			before: [][]string{cmd("SET", k+"expire", "v")},
			first:  device(cmd("EXPIRE", k+"expire", "5000")),
			second: cloud(cmd("EXPIRE", k+"expire", "900")),
			want:   text("v"), ttl: [2]int64{4000, 5000},
		}, {
			key: k + "persist", what: "PERSIST ‖ EXPIRE 900", rule: "PERSIST beats every expiry",
			before: [][]string{cmd("SET", k+"persist", "v", "EX", "5000")},
			first:  device(cmd("PERSIST", k+"persist")),
			second: cloud(cmd("EXPIRE", k+"persist", "900")),
			want:   text("v"), ttl: [2]int64{-1, -1},
		},
	}
}

// nodeOf gives the node that makes a move.
func (d *demo) nodeOf(s side) *node {
	return map[side]*node{onDevice: d.device, onCloud: d.cloud, onEdge: d.edge}[s]
}

// prepare writes what the conflicts start from.
func (d *demo) prepare() error {
	for _, c := range d.conflicts {
		if err := play(d.device, c.before); err != nil {
			return err
		}
	}
	return nil
}

// collide makes the first moves of all conflicts, lets the clocks tick, and makes the second ones.
func (d *demo) collide(ctx context.Context) error {
	for _, c := range d.conflicts {
		if err := play(d.nodeOf(c.first.side), c.first.commands); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(clockTick):
	}
	for _, c := range d.conflicts {
		if err := play(d.nodeOf(c.second.side), c.second.commands); err != nil {
			return err
		}
		d.expect(c)
	}
	return nil
}

// expect tells the oracle what the rule makes of a conflict.
func (d *demo) expect(c conflict) {
	d.oracle.writes += len(c.before) + len(c.first.commands) + len(c.second.commands)
	if c.want == nil {
		delete(d.oracle.keys, c.key)
		return
	}
	d.oracle.keys[c.key] = c.want
}

func play(n *node, commands [][]string) error {
	for _, c := range commands {
		if _, err := n.resp.Do(c...); err != nil {
			return fmt.Errorf("%s answered %s: %w", n.name, show(fmt.Sprint(c)), err)
		}
	}
	return nil
}

// judge reads the key on one node, and says what it found and what is wrong with it.
func (c conflict) judge(n *node) (found, problem string, err error) {
	w := c.want
	if w == nil {
		w = text("")
	}
	reply, err := n.resp.Do(w.command(c.key)...)
	if wrongType, ok := err.(respclient.Error); ok {
		return string(wrongType), string(wrongType), nil
	}
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", n.name, err)
	}
	found = outcome(w, reply)
	if c.want == nil {
		if reply != nil {
			problem = "is there, want it gone"
		}
		return found, problem, nil
	}
	if problem = w.compare(reply); problem == "" && c.ttl != [2]int64{} {
		return c.judgeTTL(n, found)
	}
	return found, problem, nil
}

func (c conflict) judgeTTL(n *node, found string) (string, string, error) {
	reply, err := n.resp.Do("TTL", c.key)
	if err != nil {
		return "", "", fmt.Errorf("%s answered TTL: %w", n.name, err)
	}
	ttl, _ := reply.(int64) // anything else is 0, which no conflict wants
	if ttl < c.ttl[0] || ttl > c.ttl[1] {
		return found, fmt.Sprintf("has %d s left, want %d to %d", ttl, c.ttl[0], c.ttl[1]), nil
	}
	if ttl == -1 {
		return "no expiry", "", nil
	}
	return strconv.FormatInt(ttl, 10) + " s left", "", nil
}
