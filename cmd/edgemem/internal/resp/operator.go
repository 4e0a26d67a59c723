package resp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

func operatorCommands() []*command {
	return []*command{
		{name: "acl", arity: -2, group: "server", since: "6.0.0", cost: "by subcommand", summary: "Commands about users.", subs: aclSubcommands()},
		{name: "slowlog", arity: -2, group: "server", since: "2.2.12", cost: "by subcommand", summary: "Commands about slow commands.", subs: slowlogSubcommands()},
		{name: "memory", arity: -2, group: "server", since: "4.0.0", cost: "by subcommand", summary: "Commands about memory.", subs: memorySubcommands()},
		{name: "wait", arity: 3, flags: "noscript", acl: "connection -keyspace", tips: "request_policy:all_shards response_policy:agg_min",
			group: "generic", since: "3.0.0", cost: "O(N) for N members, several times",
			summary: "Waits until so many other nodes are known to have what this one has of the region, and counts them.",
			note:    "The others are asked: some tens of milliseconds more than a round trip. A timeout of 0 waits for a minute at most.", is: flagNoMulti, run: wait},
	}
}

func aclCat(c *client) {
	switch len(c.args) {
	case 2:
		c.bulks(aclCategories)
	case 3:
		name := strings.ToLower(cut(c.args[2]))
		if !slices.Contains(aclCategories, name) {
			c.fail("ERR Unknown category '" + cText(c.args[2]) + "'")
			return
		}
		var names []string
		for _, cmd := range c.srv.table.listed {
			for _, one := range append([]*command{cmd}, cmd.toldSubs()...) {
				if slices.Contains(one.aclList, "@"+name) {
					names = append(names, one.name)
				}
			}
		}
		c.bulks(names)
	default:
		c.fail("ERR unknown subcommand or wrong number of arguments for '" + cut(c.args[1]) + "'. Try ACL HELP.")
	}
}

// genPassBitsMax is Redis's bound.
const genPassBitsMax = 4096

func aclGenPass(c *client) {
	bits := int64(256)
	if len(c.args) > 3 {
		c.fail("ERR unknown subcommand or wrong number of arguments for '" + cut(c.args[1]) + "'. Try ACL HELP.")
		return
	}
	if len(c.args) > 2 {
		var ok bool
		if bits, ok = c.integer(2); !ok {
			return
		}
		if bits < 1 || bits > genPassBitsMax {
			c.failf("ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to %d", genPassBitsMax)
			return
		}
	}
	digits := (bits + 3) / 4
	b := make([]byte, (digits+1)/2)
	_, _ = rand.Read(b)
	c.bulkString(hex.EncodeToString(b)[:digits])
}

var aclHelp = []string{
	"ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"CAT [<category>]", "    List all commands that belong to <category>, or all command categories", "    when no category is specified.",
	"DELUSER <username> [<username> ...]", "    Delete a list of users.",
	"DRYRUN <username> <command> [<arg> ...]", "    Returns whether the user can execute the given command without executing the command.",
	"GETUSER <username>", "    Get the user's details.",
	"GENPASS [<bits>]", "    Generate a secure 256-bit user password. The optional `bits` argument can", "    be used to specify a different size.",
	"LIST", "    Show users details in config file format.",
	"LOAD", "    Reload users from the ACL file.",
	"LOG [<count> | RESET]", "    Show the ACL log entries.",
	"SAVE", "    Save the current config to the ACL file.",
	"SETUSER <username> <attribute> [<attribute> ...]", "    Create or modify a user with the specified attributes.",
	"USERS", "    List all the registered usernames.",
	"WHOAMI", "    Return the current connection username.",
	"HELP", "    Prints this help.",
}

// slowlog keeps the last slow turns of clients.
type slowlog struct {
	mu      sync.Mutex
	entries []slowEntry // the newest last
	next    int64
}

type slowEntry struct {
	id         int64
	at, micros int64
	args       []string
	addr, name string
}

// What SLOWLOG keeps, as Redis does by default.
const (
	slowlogMax      = 128
	slowlogArgs     = 32
	slowlogArgBytes = 128
	slowerThan      = 10 * time.Millisecond
)

func slowlogSubcommands() []*command {
	sub := func(name string, arity int, flags, tips, summary, note string, run func(c *client)) *command {
		return &command{name: "slowlog|" + name, arity: arity, flags: flags, tips: tips, group: "server", since: "2.2.12", cost: "O(N) for N entries",
			summary: summary, note: note, run: run}
	}
	const admin, all = "admin loading stale", "request_policy:all_nodes"
	return []*command{
		sub("get", -2, admin, all+" nondeterministic_output", "Lists the slow commands of late.",
			"Time is taken over what a client sent at once: of a pipeline the last command is shown.", slowlogGet),
		sub("len", 2, admin, all+" response_policy:agg_sum nondeterministic_output", "Counts them.", "", func(c *client) { c.int(int64(c.srv.slowlog.len())) }),
		sub("reset", 2, admin, all+" response_policy:all_succeeded", "Forgets them.", "", func(c *client) { c.srv.slowlog.reset(); c.ok() }),
		sub("help", 2, "loading stale", "", "Lists the subcommands.", "", func(c *client) { c.help(slowlogHelp) }),
	}
}

func (l *slowlog) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

func (l *slowlog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

// noteSlow keeps the turn that just ended, if it was slow. The time that acknowledgements and the network take does not count.
func (c *client) noteSlow(now int64) {
	took := time.Duration(now - c.turnAt)
	c.turnAt = now
	if c.cmd != nil && c.cmd.name != "wait" {
		event := eventCommand
		if strings.Contains(c.cmd.flags, "fast") {
			event = eventFast
		}
		c.srv.latency.note(event, took)
	}
	if took < slowerThan || c.cmd == nil || c.cmd.name == "wait" || strings.Contains(c.cmd.flags, "skip_slowlog") {
		return
	}
	c.mu.Lock()
	name := c.labels.name
	c.mu.Unlock()
	e := slowEntry{at: time.Now().Unix(), micros: took.Microseconds(), args: shortArgs(c.args), addr: c.addr, name: name}
	l := &c.srv.slowlog
	l.mu.Lock()
	defer l.mu.Unlock()
	e.id = l.next
	l.next++
	if l.entries = append(l.entries, e); len(l.entries) > slowlogMax {
		l.entries = slices.Delete(l.entries, 0, 1)
	}
}

// shortArgs copies arguments as far as SLOWLOG shows them. Passwords are left out.
func shortArgs(args [][]byte) (out []string) {
	if len(args) > 0 && (equalFold(args[0], "auth") || equalFold(args[0], "hello")) {
		return []string{string(args[0]), "(redacted)"}
	}
	for i, arg := range args {
		if i == slowlogArgs-1 && len(args) > slowlogArgs {
			return append(out, fmt.Sprintf("... (%d more arguments)", len(args)-i))
		}
		text := string(arg[:min(len(arg), slowlogArgBytes)])
		if more := len(arg) - len(text); more > 0 {
			text += fmt.Sprintf("... (%d more bytes)", more)
		}
		out = append(out, text)
	}
	return out
}

func slowlogGet(c *client) {
	count := int64(10)
	switch len(c.args) {
	case 2:
	case 3:
		var ok bool
		if count, ok = parseInt(c.args[2]); !ok || count < -1 {
			c.fail("ERR count should be greater than or equal to -1")
			return
		}
	default:
		c.fail("ERR unknown subcommand or wrong number of arguments for '" + cut(c.args[1]) + "'. Try SLOWLOG HELP.")
		return
	}
	l := &c.srv.slowlog
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.entries)
	if count >= 0 {
		n = int(min(count, int64(n)))
	}
	c.array(n)
	for i := range n {
		e := l.entries[len(l.entries)-1-i]
		c.array(6)
		c.int(e.id)
		c.int(e.at)
		c.int(e.micros)
		c.bulks(e.args)
		c.bulkString(e.addr)
		c.bulkString(e.name)
	}
}

var slowlogHelp = []string{
	"SLOWLOG <subcommand> [<arg> ...]. Subcommands are:",
	"GET [<count>]", "    List the slow commands, the newest first; 10 unless count says otherwise, -1 for all.",
	"LEN, RESET", "    Count them, or forget them.",
	"HELP", "    This text.",
}

func memorySubcommands() []*command {
	sub := func(name string, arity int, summary string, run func(c *client)) *command {
		return &command{name: "memory|" + name, arity: arity, group: "server", since: "4.0.0", cost: "O(1)", summary: summary, run: run, is: flagNoMulti,
			tips: "nondeterministic_output request_policy:all_shards response_policy:special"}
	}
	help := sub("help", 2, "Lists the subcommands.", func(c *client) { c.help(memoryHelp) })
	help.flags, help.tips = "loading stale", ""
	return []*command{
		{name: "memory|usage", arity: -3, flags: "readonly", keys: keyAt(2, "RO"), group: "server", since: "4.0.0", cost: "O(N) for a value of N parts",
			summary: "Estimates the bytes of memory that a key takes.", read: memoryUsage},
		sub("doctor", 2, "Says whether memory is short on this node.", memoryDoctor),
		sub("stats", 2, "Tells what takes memory.", memoryStats),
		help,
		{name: "memory|purge", refusal: "memory that nothing uses is given back within a minute"},
		{name: "memory|malloc-stats", refusal: noInternal},
	}
}

// Beside their bytes a key and each member or field take about so much, with indexes and causal metadata.
const (
	keyOverhead  = 48
	partOverhead = 48
	// entryOverhead is that of a stream's entry, with its name.
	entryOverhead = partOverhead + 27
	// itemOverhead is that of a list's element, with its position.
	itemOverhead = partOverhead + 12
	scoreBytes   = 8
	// usageStep is how many members of a sorted set are looked at in one step.
	usageStep = 1024
)

func memoryUsage(c *client, v *crdt.View) {
	key := view(c.args[2])
	for i := 3; i < len(c.args); i += 2 {
		if !equalFold(c.args[i], "samples") || i+1 == len(c.args) {
			c.fail(errSyntax)
			return
		}
		n, ok := c.integer(i + 1)
		if !ok {
			return
		}
		if n < 0 {
			c.fail(errSyntax)
			return
		}
	}
	size := len(key) + keyOverhead
	switch v.Kind(key) {
	case crdt.KindNone:
		c.null()
		return
	case crdt.KindString:
		for _, s := range v.Siblings(key) {
			size += len(s.Value)
		}
	case crdt.KindBlock:
		info, _, _ := v.BlockInfo(key)
		size += int(info.Bytes) + info.Pages*partOverhead
	case crdt.KindStream:
		_ = v.StreamEach(key, 0, false, func(_ crdt.StreamID, fields [][]byte) bool {
			size += entryOverhead
			for _, f := range fields {
				size += len(f) + 1
			}
			return true
		})
	case crdt.KindList:
		_ = v.ListEach(key, 0, false, func(val []byte) bool { size += len(val) + itemOverhead; return true })
	case crdt.KindSorted:
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			cursor, _ = v.SortedScan(key, cursor, usageStep, func(member string, _ float64) { size += len(member) + scoreBytes + partOverhead })
		}
	case crdt.KindJSON:
		if n, ok, _ := v.JSON(key, ""); ok {
			size += nodeBytes(&n)
		}
	case crdt.KindSet:
		_ = v.SetEach(key, func(member string) bool { size += len(member) + partOverhead; return true })
	case crdt.KindMap:
		_ = v.MapEach(key, func(field string, val []byte) bool { size += len(field) + len(val) + partOverhead; return true })
	}
	c.int(int64(size))
}

// nodeBytes is about what a node of a document takes with all below it: each is a part that is named by its path.
func nodeBytes(n *crdt.JSONNode) int {
	size := len(n.Path) + len(n.Text) + partOverhead
	for i := range n.Nodes {
		size += nodeBytes(&n.Nodes[i])
	}
	return size
}

func memoryDoctor(c *client) {
	m := c.srv.cfg.Fabric.Memory()
	if m.Budget == 0 {
		c.verbatim(fmt.Sprintf("Regions take %s. There is no budget: set --memory, so that writes are refused before the machine runs out.\n", human(uint64(m.Used))))
		return
	}
	c.verbatim(fmt.Sprintf("Regions take %s of a budget of %s, and %s are mapped. Pressure: %v.\n",
		human(uint64(m.Used)), human(uint64(m.Budget)), human(uint64(m.Mapped)), m.Level))
}

func memoryStats(c *client) {
	m := c.srv.cfg.Fabric.Memory()
	regions := c.srv.cfg.Fabric.Regions()
	entries := int64(0)
	for _, r := range regions {
		entries += int64(r.Entries)
	}
	pairs := []struct {
		name string
		n    int64
	}{
		{"regions.allocated", m.Used}, {"pools.mapped", m.Mapped}, {"budget", m.Budget}, {"dataset.bytes", regionBytes(regions)},
		{"keys.count", entries}, {"clients.buffers", c.srv.buffered.Load()},
	}
	c.mapOf(len(pairs))
	for _, p := range pairs {
		c.bulkString(p.name)
		c.int(p.n)
	}
}

var memoryHelp = []string{
	"MEMORY <subcommand> [<arg> ...]. Subcommands are:",
	"USAGE <key> [SAMPLES <count>]", "    Estimate the bytes that a key takes.",
	"DOCTOR, STATS", "    Say whether memory is short, and what takes it.",
	"HELP", "    This text.",
}

// waitMax is how long WAIT waits at most.
const waitMax = time.Minute

func wait(c *client) {
	want, ok := c.integer(1)
	if !ok {
		return
	}
	ms, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.fail("ERR timeout is not an integer or out of range")
		return
	case ms < 0:
		c.fail("ERR timeout is negative")
		return
	}
	limit := waitMax
	if ms > 0 {
		limit = time.Duration(min(ms, waitMax.Milliseconds())) * time.Millisecond
	}
	region, err := c.currentRegion()
	if err != nil {
		c.fail(errorWord(err) + err.Error())
		return
	}
	if !region.Held() {
		c.forwardThis()
		return
	}
	if !c.settle() { // who waits has the replies before it
		c.closing = true
		return
	}
	c.begin()
	ctx, cancel := context.WithTimeout(c.srv.ackCtx, limit)
	defer cancel()
	n, err := region.WaitFor(ctx, region.Token(), fabric.AckedBy(min(want, math.MaxInt32)))
	if err != nil && !errors.Is(err, fabric.ErrStale) {
		c.fail(errorWord(err) + err.Error())
		return
	}
	c.int(int64(n))
}
