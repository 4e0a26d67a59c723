package resp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

func transactionCommands() []*command {
	const flags = "noscript loading stale fast allow_busy"
	return []*command{
		{name: "multi", arity: 1, flags: flags, group: "transactions", since: "1.2.0", cost: "O(1)",
			summary: "Begins to queue commands for EXEC.",
			note:    "The queue is bounded in bytes; beyond that EXEC discards it.", is: flagAtOnce, run: multi},
		{name: "exec", arity: 1, flags: "noscript loading stale skip_slowlog", group: "transactions", since: "1.2.0", cost: "by the commands in the queue",
			summary: "Runs the queued commands as one.",
			note:    "Atomic on this node and on its disk; other nodes merge it key by key, so that a reader there may see a part of it for a moment. It is no lock on the mesh: writes elsewhere are concurrent. A SELECT among the commands parts it in two.", is: flagAtOnce, run: execQueue},
		{name: "discard", arity: 1, flags: flags, group: "transactions", since: "2.0.0", cost: "O(N) for N commands",
			summary: "Forgets the queued commands.", is: flagAtOnce, run: discard},
		{name: "watch", arity: -2, flags: flags, keys: allKeys("RO"), group: "transactions", since: "2.2.0", cost: "O(N) for N keys and their members",
			summary: "Makes EXEC do nothing if one of the keys has changed.",
			note:    "Notices local writes, merges from other nodes, and expiries, as of when they are here. What is concurrent elsewhere it cannot notice.", is: flagAtOnce, run: watch},
		{name: "unwatch", arity: 1, flags: flags, group: "transactions", since: "2.2.0", cost: "O(1)",
			summary: "Forgets the watched keys.", run: func(c *client) { c.unwatch(); c.ok() }},
		{name: "em.print", arity: -2, flags: "readonly", keys: allKeys("RO access"), group: "edgemem", since: "0.1.0", cost: "O(N) for N keys and their members",
			summary: "Gives a number for the state of each key, as 16 hexadecimal digits: another one after every write that comes to it, from here or by a merge.",
			note:    "Nodes that have seen the same of a key mostly give the same, but not where one has forgotten removes of it.", read: printKeys},
		{name: "em.watch", arity: -3, flags: flags, keys: keySpec{first: 1, last: -1, step: 2, access: "RO"}, group: "edgemem", since: "0.1.0", cost: "O(N) for N keys",
			summary: "Makes EXEC do nothing if one of the keys is not in the state that EM.PRINT told: EM.WATCH key print [key print …].",
			note:    "Also behind MULTI, and for what was told to another client or by another node.", is: flagAtOnce, run: watchAs},
	}
}

// transaction is what MULTI collects.
type transaction struct {
	queue  []queued
	bytes  int  // of the queue
	broken bool // EXEC must discard it
}

// queued is a command that waits for EXEC; its arguments are copies.
type queued struct {
	cmd  *command
	args [][]byte
}

// watched is a key as WATCH found it.
type watched struct {
	region *fabric.Region
	key    string
	print  uint64
}

// Costs that a queued command and a watched key have beside their bytes.
const (
	queuedOverhead  = 64
	argOverhead     = 24
	watchedOverhead = 64
)

// watchBytesMax bounds what one client watches.
const watchBytesMax = 4 << 20

func multi(c *client) {
	if c.tx != nil {
		c.fail("ERR MULTI calls can not be nested")
		return
	}
	c.tx = &transaction{}
	c.ok()
}

func discard(c *client) {
	if c.tx == nil {
		c.fail("ERR DISCARD without MULTI")
		return
	}
	c.endTransaction()
	c.ok()
}

// endTransaction forgets the queue and the watched keys.
func (c *client) endTransaction() {
	c.tx = nil
	c.unwatch()
}

func (c *client) unwatch() {
	c.watches, c.watchBytes, c.watchedAt, c.watchToken, c.watchStale = nil, 0, 0, "", false
}

// queues says whether cmd is to wait for EXEC.
func (c *client) queues(cmd *command) bool { return c.tx != nil && cmd.is&flagAtOnce == 0 }

// enqueue keeps the command in c.args for EXEC.
func (c *client) enqueue(cmd *command) {
	t := c.tx
	size := queuedOverhead
	for _, arg := range c.args {
		size += len(arg) + argOverhead
	}
	if limit := c.srv.limits.CommandBytes; t.bytes+size > limit {
		t.queue, t.bytes, t.broken = nil, 0, true
		c.failf("ERR the queued commands are longer than %d bytes; EXEC will discard them", limit)
		return
	}
	t.bytes += size
	if !t.broken { // else it will not run
		args := make([][]byte, len(c.args))
		for i, arg := range c.args {
			args[i] = bytes.Clone(arg)
		}
		t.queue = append(t.queue, queued{cmd, args})
	}
	c.raw("+QUEUED\r\n")
}

// breakTransaction notes that a command could not be queued.
func (c *client) breakTransaction() {
	if c.tx != nil {
		c.tx.queue, c.tx.broken = nil, true
	}
}

func watch(c *client) {
	if c.tx != nil {
		c.fail("ERR WATCH inside MULTI is not allowed")
		return
	}
	region, err := c.currentRegion()
	if err == nil && !region.Held() || errors.Is(err, fabric.ErrNotHeld) {
		c.watchAway()
		return
	}
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	fits := true
	err = region.View(func(v *crdt.View) {
		fits = c.watchKeys(region, func(i int) uint64 { return v.Fingerprint(string(c.args[1+i])) })
	})
	switch {
	case err != nil:
		c.fail(errorWord(err) + err.Error())
	case fits:
		c.ok()
	}
}

// watchKeys notes the state of the keys in the arguments, or says that there are too many.
func (c *client) watchKeys(region *fabric.Region, print func(i int) uint64) (fits bool) {
	more := 0
	for _, key := range c.args[1:] {
		more += len(key) + watchedOverhead
	}
	if c.watchBytes+more > watchBytesMax {
		c.failf("ERR the watched keys are longer than %d bytes; UNWATCH first", watchBytesMax)
		return false
	}
	for i, key := range c.args[1:] {
		c.watchKey(watched{region, string(key), print(i)})
	}
	return true
}

func (c *client) watchKey(w watched) {
	if !c.watching(w) {
		c.watches = append(c.watches, w)
		c.watchBytes += len(w.key) + watchedOverhead
	}
}

func printKeys(c *client, v *crdt.View) {
	c.array(len(c.args) - 1)
	for _, key := range c.args[1:] {
		c.bulk(appendPrint(nil, v.Fingerprint(string(key))))
	}
}

func watchAs(c *client) {
	region := c.replica()
	if region == nil {
		return
	}
	if len(c.args)%2 == 0 {
		c.fail("ERR wrong number of arguments for 'em.watch' command")
		return
	}
	list, more := []watched{}, 0
	for i := 1; i < len(c.args); i += 2 {
		print, err := strconv.ParseUint(string(c.args[i+1]), 16, 64)
		if err != nil {
			c.breakTransaction()
			c.fail("ERR the state of a key is 16 hexadecimal digits")
			return
		}
		list = append(list, watched{region, string(c.args[i]), print})
		more += len(c.args[i]) + watchedOverhead
	}
	if c.watchBytes+more > watchBytesMax {
		c.breakTransaction()
		c.failf("ERR the watched keys are longer than %d bytes; UNWATCH first", watchBytesMax)
		return
	}
	for _, w := range list {
		c.watchKey(w)
	}
	c.ok()
}

// watching says whether the same key is watched already, as it was then.
func (c *client) watching(w watched) bool {
	for i := range c.watches {
		if x := &c.watches[i]; x.region == w.region && x.key == w.key {
			return true
		}
	}
	return false
}

// unchanged compares the watched keys of the view's region with what they were.
func unchanged(watches []watched, region *fabric.Region, v *crdt.View) bool {
	for _, w := range watches {
		if w.region == region && v.Fingerprint(w.key) != w.print {
			return false
		}
	}
	return true
}

const errExecAbort = "EXECABORT Transaction discarded because of"

func execQueue(c *client) {
	t, watches := c.tx, c.watches
	late := c.watchStale || c.watchToken != "" && c.srv.sinceStart()-c.watchedAt > awayWatchMax.Nanoseconds()
	if t == nil {
		c.fail("ERR EXEC without MULTI")
		return
	}
	c.endTransaction()
	if t.broken {
		c.fail(errExecAbort + " previous errors.")
		return
	}
	if late { // what was read since need not be of the state that was watched
		c.nullArray()
		return
	}
	if region, err := c.currentRegion(); err == nil && !region.Held() || errors.Is(err, fabric.ErrNotHeld) {
		if c.away != nil {
			c.lose()
			return
		}
		c.region = nil
		c.forwardTransaction(t.queue, watches)
		return
	}
	x := execution{c: c, queue: t.queue, watches: watches, start: c.start, limit: c.limitBytes}
	cmd, args := c.cmd, c.args
	c.executing = true
	x.run()
	c.executing = false
	c.switchTo(cmd)
	c.run.calls-- // EXEC itself was counted when it came
	c.args, c.start, c.limitBytes, c.overflowed = args, x.start, x.limit, false
	c.show(cmd)
}

// execution is one EXEC.
type execution struct {
	c            *client
	queue        []queued
	watches      []watched
	start, limit int  // of the reply
	begun        bool // the watched keys were found unchanged, and the reply has its header
}

// run goes through the queue: what touches one region's entries runs under one lock, and what touches none where it stands.
func (x *execution) run() {
	region, err := x.c.currentRegion()
	if err != nil {
		x.c.fail(errExecAbort + ": " + errorWord(err) + err.Error())
		return
	}
	if !x.elsewhereUnchanged(region) {
		x.c.nullArray()
		return
	}
	for len(x.queue) > 0 || !x.begun {
		n := x.segment()
		if !x.runSegment(region, x.queue[:n]) {
			return
		}
		x.queue = x.queue[n:]
		if len(x.queue) == 0 {
			return
		}
		x.one(x.queue[0], nil, nil) // a SELECT
		x.queue = x.queue[1:]
		if region, err = x.c.currentRegion(); err != nil {
			x.failAll(x.queue, err)
			return
		}
	}
}

// segment is how many commands come before the next SELECT.
func (x *execution) segment() int {
	for i, q := range x.queue {
		if q.cmd.name == "select" {
			return i
		}
	}
	return len(x.queue)
}

// elsewhereUnchanged looks at the watched keys of other regions than the one in which the transaction begins.
func (x *execution) elsewhereUnchanged(here *fabric.Region) bool {
	done := map[*fabric.Region]bool{here: true}
	for _, w := range x.watches {
		if done[w.region] {
			continue
		}
		done[w.region] = true
		same := false
		if err := w.region.View(func(v *crdt.View) { same = unchanged(x.watches, w.region, v) }); err != nil || !same {
			return false
		}
	}
	return true
}

// runSegment runs commands of one region; it reports whether the transaction goes on.
func (x *execution) runSegment(region *fabric.Region, queue []queued) bool {
	writes, grows := false, false
	for _, q := range queue {
		writes = writes || q.cmd.write != nil
		grows = grows || q.cmd.is&flagDenyOOM != 0
	}
	goesOn, called := true, false
	all := func(v *crdt.View, tx *crdt.Tx) {
		called = true
		if goesOn = x.begin(region, v); !goesOn {
			return
		}
		for _, q := range queue {
			x.one(q, v, tx)
		}
		if tx != nil {
			x.serveWaiting(tx, queue)
		}
	}
	var err error
	if writes {
		apply := region.ApplyShrinking
		if grows {
			apply = region.Apply
		}
		var commit fabric.Commit
		commit, err = apply(func(tx *crdt.Tx) error { all(&tx.View, tx); return nil })
		x.c.deliverServed(commit, err)
		if err == nil && goesOn && region.Ack() != fabric.AckMemory {
			x.c.execCommits = append(x.c.execCommits, commit)
		}
	} else {
		err = region.View(func(v *crdt.View) { all(v, nil) })
	}
	if err == nil || called && goesOn {
		return goesOn
	}
	return x.failAll(queue, err)
}

// serveWaiting serves those who wait for what the commands have written, once all have run.
func (x *execution) serveWaiting(tx *crdt.Tx, queue []queued) {
	for _, q := range queue {
		if q.cmd.write != nil {
			x.c.args, x.c.cmd = q.args, q.cmd
			x.c.serveWaiting(tx)
		}
	}
}

// begin makes sure, before the first command, that the watched keys are as they were.
func (x *execution) begin(region *fabric.Region, v *crdt.View) bool {
	if x.begun {
		return true
	}
	if !unchanged(x.watches, region, v) {
		x.c.nullArray()
		return false
	}
	x.begun = true
	x.c.array(len(x.queue))
	return true
}

// failAll answers commands that the fabric refuses to run: all of them before the first has run, else each.
func (x *execution) failAll(queue []queued, err error) (goesOn bool) {
	x.c.region = nil
	text := errorWord(err) + err.Error()
	if !x.begun && x.c.away != nil && errors.Is(err, fabric.ErrNotHeld) {
		x.c.away.lost = true
	}
	if !x.begun {
		x.c.fail(errExecAbort + ": " + text)
		return false
	}
	for range queue {
		x.c.fail(text)
	}
	return true
}

// one runs one command. What it answers is bounded by what is left of the whole reply.
func (x *execution) one(q queued, v *crdt.View, tx *crdt.Tx) {
	c := x.c
	c.args, c.start, c.overflowed = q.args, len(c.buf), false
	c.limitBytes = x.limit - (c.start - x.start)
	c.switchTo(q.cmd)
	if d := c.user.is.Load().check(q.cmd, q.args); d.reason != "" && c.away == nil { // it was queued when the user might
		c.srv.acl.note(d, "multi", c.userName(), c.describe())
		c.fail("NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: " + d.short())
		c.run.failed++
		return
	}
	if text := c.user.is.Load().deniesSort(q.cmd, q.args); text != "" && c.away == nil {
		c.fail(text)
		c.run.failed++
		return
	}
	c.show(q.cmd)
	switch {
	case q.cmd.run != nil:
		q.cmd.run(c)
	case q.cmd.read != nil:
		q.cmd.read(c, v)
		c.tellUnread(v)
		c.trackReads(v)
	default:
		c.runWrite(tx)
		c.tellUnread(&tx.View)
	}
	if c.overflowed {
		c.undo()
		c.fail(fmt.Sprintf("ERR the replies of the transaction are larger than %d bytes", x.limit))
	}
	if len(c.buf) > c.start && c.buf[c.start] == '-' {
		c.run.failed++
	}
}
