package resp

import (
	"bytes"
	"errors"
	"math"

	"github.com/edgemem/edgemem/crdt"
)

const (
	streamKeeps = "Entries of all nodes stay, in the order of their ids, which all nodes agree on."
	streamIDs   = streamKeeps + " The seq of a new id ends in 16 bits of the node, so that nodes which do not hear of each other hardly ever take one id; where two name the same, both entries are there. An id must be beyond what this node shows, whoever wrote that."
	streamTrims = removesObserved + " Entries that come later from other nodes, with ids below, stay until the next trim."
	streamReads = "Goes on by arrival: entries that other nodes wrote and that arrive late, with ids below the one that is given, come next, so that a reader gets all, and the ids of its replies may go down. " +
		"The last id of a reply is the one to go on from. Connections that read on are exact. Another connection goes on where the last reader at that id was, if this node knows of one, and else by id; so it does after a restart."
)

func streamCommands() []*command {
	ranges := func(name, summary string, back bool) *command {
		return &command{name: name, arity: -4, flags: "readonly", keys: oneKey("RO access"), group: "stream", since: "5.0.0", cost: "O(log(N)+M) for M entries of a stream of N",
			summary: summary, note: streamKeeps + " Entries of other nodes may come to be in a range that was read.", read: func(c *client, v *crdt.View) { xrange(c, v, back) }}
	}
	info := func(name string, arity int, summary string, tips string, run func(c *client, v *crdt.View)) *command {
		return &command{name: "xinfo|" + name, arity: arity, flags: "readonly", keys: keyAt(2, "RO access"), tips: tips, group: "stream", since: "5.0.0", cost: "O(1)",
			summary: summary, read: run}
	}
	return []*command{
		{name: "xadd", arity: -5, flags: "write denyoom fast", keys: oneKey("RW update"), tips: "nondeterministic_output", group: "stream", since: "5.0.0", cost: "O(1), O(N) for N entries that are trimmed",
			summary: "Adds an entry to a stream.", note: streamIDs, write: xadd},
		{name: "xlen", arity: 2, flags: "readonly fast", keys: oneKey("RO"), group: "stream", since: "5.0.0", cost: "O(1)",
			summary: "Counts the entries of a stream.", read: xlen},
		ranges("xrange", "Lists the entries with ids in a range.", false),
		ranges("xrevrange", "Lists the entries with ids in a range, the last first.", true),
		{name: "xread", arity: -4, flags: "readonly blocking movablekeys", keys: keySpec{word: "STREAMS", from: 1, half: true, access: "RO access"}, group: "stream", since: "5.0.0",
			cost: "O(log(N)+M) for M entries of streams of N", summary: "Reads on in streams, and waits for entries.", note: streamReads, write: xread, waits: xreadWaits},
		{name: "xdel", arity: -3, flags: "write fast", keys: oneKey("RW delete"), group: "stream", since: "5.0.0", cost: "O(log(N)) for each entry of a stream of N",
			summary: "Removes entries from a stream.", note: removesObserved, write: xdel},
		{name: "xtrim", arity: -4, flags: "write", keys: oneKey("RW delete"), tips: "nondeterministic_output", group: "stream", since: "5.0.0", cost: "O(N) for N entries that go",
			summary: "Removes the first entries of a stream.", note: streamTrims, write: xtrim},
		{name: "xsetid", arity: -3, flags: "write denyoom fast", keys: oneKey("RW update"), group: "stream", since: "5.0.0", cost: "O(1)",
			summary: "Sets the last id of a stream.", note: "Of concurrent settings the largest shows.", write: xsetid},
		{name: "xinfo", arity: -2, group: "stream", since: "5.0.0", cost: "by subcommand", summary: "Commands that tell about streams.", subs: []*command{
			info("stream", -3, "Tells about a stream: XINFO STREAM key [FULL [COUNT n]]. Of entries-added at least as many as are known here.", "", xinfoStream),
			info("groups", 3, "Lists no consumer groups.", "", xinfoGroups),
			info("consumers", 4, "Answers that there is no such consumer group.", "nondeterministic_output", xinfoConsumers),
			{name: "xinfo|help", arity: 2, flags: "loading stale", acl: "stream", group: "stream", since: "5.0.0", cost: "O(1)",
				summary: "Lists the subcommands.", run: func(c *client) { c.help(xinfoHelp) }},
		}},
	}
}

const (
	errStreamTop  = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
	errStreamFull = "ERR The stream has exhausted the last possible ID, unable to add more items"
)

// failStream answers what the region says against a write to a stream.
func (c *client) failStream(err error) {
	switch {
	case errors.Is(err, crdt.ErrWrongType):
		c.fail(errWrongType)
	case errors.Is(err, crdt.ErrStreamID):
		c.fail(errStreamTop)
	case errors.Is(err, crdt.ErrStreamFull):
		c.fail(errStreamFull)
	default:
		c.fail("ERR " + err.Error())
	}
}

// stream reads what a stream knows, or answers WRONGTYPE.
func (c *client) stream(v *crdt.View, key string) (h crdt.StreamHead, there, ok bool) {
	h, there, err := v.StreamHead(key)
	if err != nil {
		c.fail(errWrongType)
	}
	return h, there, err == nil
}

// entry answers with one entry.
func (c *client) entry(id crdt.StreamID, fields [][]byte) {
	var room [2*intBytesMax + 1]byte
	c.array(2)
	c.bulk(id.Append(room[:0]))
	c.array(len(fields))
	for _, f := range fields {
		c.bulk(f)
	}
}

// entries answers with n entries from a rank on.
func (c *client) entries(v *crdt.View, key string, from, n int, back bool) {
	c.array(n)
	if n == 0 {
		return
	}
	c.unreadable(v.StreamEach(key, from, back, func(id crdt.StreamID, fields [][]byte) bool {
		c.entry(id, fields)
		n--
		return n > 0 && !c.overflowed
	}))
}

func xlen(c *client, v *crdt.View) {
	n, err := v.StreamLen(view(c.args[1]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.int(int64(n))
}

func xadd(c *client, tx *crdt.Tx) {
	o, at, ok := c.parseTrim(true)
	if !ok {
		return
	}
	fields := c.args[min(at+1, len(c.args)):]
	if len(fields) < 2 || len(fields)%2 != 0 {
		c.fail("ERR wrong number of arguments for 'xadd' command")
		return
	}
	if o.id.given && o.id.seqGiven && o.id.StreamID == (crdt.StreamID{}) {
		c.fail("ERR The ID specified in XADD must be greater than 0-0")
		return
	}
	key := string(c.args[1])
	if !o.id.given && !o.noCreate {
		id, err := tx.StreamAppend(key, fields)
		c.added(tx, key, &o, id, err)
		return
	}
	h, there, ok := c.stream(&tx.View, key)
	switch {
	case !ok:
	case !there && o.noCreate:
		c.null()
	case h.Last == crdt.StreamIDMax:
		c.fail(errStreamFull)
	default:
		id, err := addEntry(tx, key, &o.id, h.Last, fields)
		c.added(tx, key, &o, id, err)
	}
}

// addEntry adds an entry to a stream of which the last id is known.
func addEntry(tx *crdt.Tx, key string, want *entryID, last crdt.StreamID, fields [][]byte) (id crdt.StreamID, err error) {
	id = want.StreamID
	switch {
	case !want.given:
		return tx.StreamAppend(key, fields)
	case !want.seqGiven && id.MS == last.MS:
		if id.Seq = last.Seq + 1; id.Seq == 0 {
			return id, crdt.ErrStreamID
		}
	}
	return id, tx.StreamAdd(key, id, fields)
}

// added trims a stream to which an entry was added, and answers.
func (c *client) added(tx *crdt.Tx, key string, o *trimming, id crdt.StreamID, err error) {
	if err != nil {
		c.failStream(err)
		return
	}
	c.trimmed = c.trim(tx, key, o) > 0
	var room [2*intBytesMax + 1]byte
	c.bulk(id.Append(room[:0]))
}

func xdel(c *client, tx *crdt.Tx) {
	key := string(c.args[1])
	_, there, ok := c.stream(&tx.View, key)
	if !ok {
		return
	}
	if !there {
		c.int(0)
		return
	}
	ids := make([]crdt.StreamID, 0, len(c.args)-2)
	for _, arg := range c.args[2:] {
		id, ok := c.streamID(arg, 0)
		if !ok {
			return
		}
		ids = append(ids, id)
	}
	n, err := tx.StreamRemove(key, ids...)
	if err != nil {
		c.failStream(err)
		return
	}
	c.int(int64(n))
}

func xtrim(c *client, tx *crdt.Tx) {
	o, _, ok := c.parseTrim(false)
	if !ok {
		return
	}
	key := string(c.args[1])
	if _, _, ok := c.stream(&tx.View, key); ok {
		c.int(int64(c.trim(tx, key, &o)))
	}
}

// trimming is what XADD and XTRIM take before an id.
type trimming struct {
	by       byte // 'l' length, 'i' id, 0: nothing is trimmed
	about    bool // ~
	keep     int64
	minID    crdt.StreamID
	limit    int64
	noCreate bool
	id       entryID
}

// entryID is an id as XADD takes it.
type entryID struct {
	crdt.StreamID
	given, seqGiven bool
}

const (
	// trimStep: with ~, so many entries go at a time, as in Redis, whose nodes hold as many.
	trimStep = 100
	// trimLimit is how many go at most with ~ where no LIMIT says so.
	trimLimit = 100 * trimStep
)

// parseTrim reads the options, in Redis's order of checks. at is where the id stands.
func (c *client) parseTrim(adding bool) (o trimming, at int, ok bool) {
	limited := false
	for at = 2; at < len(c.args); at++ {
		word, more := lowerWord(c.args[at]), len(c.args)-1-at
		switch {
		case adding && word == "*":
			return o, at, c.trimFits(&o, limited, adding)
		case (word == "maxlen" || word == "minid") && more > 0:
			if at, ok = c.parseBound(&o, at, word == "maxlen"); !ok {
				return o, at, false
			}
		case word == "limit" && more > 0:
			at++
			if o.limit, ok = c.integer(at); !ok {
				return o, at, false
			}
			if limited = true; o.limit < 0 {
				c.fail("ERR The LIMIT argument must be >= 0.")
				return o, at, false
			}
		case adding && word == "nomkstream":
			o.noCreate = true
		case adding:
			if o.id, ok = c.entryID(c.args[at]); !ok {
				return o, at, false
			}
			return o, at, c.trimFits(&o, limited, adding)
		default:
			c.fail(errSyntax)
			return o, at, false
		}
	}
	return o, at, c.trimFits(&o, limited, adding)
}

// parseBound reads MAXLEN or MINID at args[at], and gives where it ends.
func (c *client) parseBound(o *trimming, at int, byLength bool) (end int, ok bool) {
	if o.by != 0 {
		c.fail("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
		return at, false
	}
	o.about = false
	if next := c.args[at+1]; len(c.args)-1-at >= 2 && len(next) == 1 && (next[0] == '~' || next[0] == '=') {
		o.about = next[0] == '~'
		at++
	}
	at++
	if !byLength {
		o.by = 'i'
		o.minID, ok = c.streamID(c.args[at], 0)
		return at, ok
	}
	o.by = 'l'
	if o.keep, ok = c.integer(at); ok && o.keep < 0 {
		c.fail("ERR The MAXLEN argument must be >= 0.")
		ok = false
	}
	return at, ok
}

// trimFits checks what the options say together.
func (c *client) trimFits(o *trimming, limited, adding bool) bool {
	switch {
	case o.limit != 0 && o.by == 0:
		c.fail("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	case !adding && o.by == 0:
		c.fail("ERR syntax error, XTRIM must be called with a trimming strategy")
	case limited && !o.about:
		c.fail("ERR syntax error, LIMIT cannot be used without the special ~ option")
	default:
		if o.about && !limited {
			o.limit = trimLimit
		}
		return true
	}
	return false
}

// trim takes the first entries out, and tells how many.
func (c *client) trim(tx *crdt.Tx, key string, o *trimming) int {
	if o.by == 0 {
		return 0
	}
	length, _ := tx.StreamLen(key)
	n := 0
	switch o.by {
	case 'l':
		n = int(max(0, int64(length)-o.keep))
	case 'i':
		n, _ = tx.StreamRank(key, o.minID)
	}
	switch {
	case !o.about:
	case o.limit > 0 && int64(n) > o.limit:
		n = int(o.limit - o.limit%trimStep)
	case n < length:
		n -= n % trimStep
	}
	if n > 0 {
		n, _ = tx.StreamTrim(key, n)
	}
	return n
}

// xrange is XRANGE and XREVRANGE.
func xrange(c *client, v *crdt.View, back bool) {
	low, high := c.args[2], c.args[3]
	if back {
		low, high = high, low
	}
	first, ok := c.rangeEnd(low, false)
	if !ok {
		return
	}
	last, ok := c.rangeEnd(high, true)
	if !ok {
		return
	}
	count, ok := c.rangeCount()
	if !ok {
		return
	}
	key := view(c.args[1])
	_, there, ok := c.stream(v, key)
	switch {
	case !ok:
	case !there:
		c.array(0)
	case count == 0:
		c.nullArray()
	default:
		from, n := ranked(v, key, first, last, count)
		if back {
			from, n = rankedBack(v, key, first, last, count)
		}
		c.entries(v, key, from, n, back)
	}
}

// ranked gives the rank of the first entry in a range of ids, and how many there are, up to count.
func ranked(v *crdt.View, key string, first, last crdt.StreamID, count int64) (from, n int) {
	from, _ = v.StreamRank(key, first)
	return from, int(min(int64(max(0, endOf(v, key, last)-from)), count))
}

// rankedBack is ranked from the end.
func rankedBack(v *crdt.View, key string, first, last crdt.StreamID, count int64) (from, n int) {
	start, _ := v.StreamRank(key, first)
	end := endOf(v, key, last)
	return end - 1, int(min(int64(max(0, end-start)), count))
}

// endOf counts the entries up to an id.
func endOf(v *crdt.View, key string, last crdt.StreamID) (n int) {
	if beyond, ok := last.Next(); ok {
		n, _ = v.StreamRank(key, beyond)
		return n
	}
	n, _ = v.StreamLen(key)
	return n
}

// rangeCount reads COUNT; without it the count is as good as endless.
func (c *client) rangeCount() (count int64, ok bool) {
	count = math.MaxInt64
	for i := 4; i < len(c.args); i += 2 {
		if !equalFold(c.args[i], "count") || i+1 == len(c.args) {
			c.fail(errSyntax)
			return 0, false
		}
		if count, ok = c.integer(i + 1); !ok {
			return 0, false
		}
		count = max(count, 0)
	}
	return count, true
}

func xsetid(c *client, tx *crdt.Tx) {
	id, ok := c.streamID(c.args[2], 0)
	if !ok {
		return
	}
	added, removed := int64(-1), crdt.StreamID{}
	for i := 3; i < len(c.args); i += 2 {
		word := lowerWord(c.args[i])
		switch {
		case i+1 < len(c.args) && word == "entriesadded":
			if added, ok = c.integer(i + 1); ok && added < 0 {
				c.fail("ERR entries_added must be positive")
				ok = false
			}
		case i+1 < len(c.args) && word == "maxdeletedid":
			if removed, ok = c.streamID(c.args[i+1], 0); ok && id.Compare(removed) < 0 {
				c.fail("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
				ok = false
			}
		default:
			c.fail(errSyntax)
			ok = false
		}
		if !ok {
			return
		}
	}
	c.setStream(tx, string(c.args[1]), id, added, removed)
}

// setStream is XSETID, once its arguments are known to be right.
func (c *client) setStream(tx *crdt.Tx, key string, id crdt.StreamID, added int64, removed crdt.StreamID) {
	h, there, ok := c.stream(&tx.View, key)
	if !ok {
		return
	}
	length, _ := tx.StreamLen(key)
	top := crdt.StreamID{}
	_ = tx.StreamEach(key, length-1, true, func(id crdt.StreamID, _ [][]byte) bool { top = id; return false })
	switch {
	case !there:
		c.fail(errNoKey)
		return
	case id.Compare(top) < 0:
		c.fail("ERR The ID specified in XSETID is smaller than the target stream top item")
		return
	case length > 0 && added >= 0 && int64(length) > added:
		c.fail("ERR The entries_added specified in XSETID is smaller than the target stream length")
		return
	}
	if h.Last = id; added >= 0 {
		h.Added = uint64(added)
	}
	if removed != (crdt.StreamID{}) {
		h.Removed = removed
	}
	if err := tx.StreamSet(key, h); err != nil {
		c.failStream(err)
		return
	}
	c.ok()
}

// streamCopier is copierOf of a stream.
func (c *client) streamCopier(tx *crdt.Tx, from string) (put func(to string), ok bool) {
	type copied struct {
		id     crdt.StreamID
		fields [][]byte
	}
	var all []copied
	if c.unreadable(tx.StreamEach(from, 0, false, func(id crdt.StreamID, fields [][]byte) bool {
		x := copied{id: id}
		for _, f := range fields {
			x.fields = append(x.fields, bytes.Clone(f))
		}
		all = append(all, x)
		return true
	})) {
		return nil, false
	}
	h, _, _ := tx.StreamHead(from)
	return func(to string) {
		for i := range all {
			_ = tx.StreamPut(to, all[i].id, all[i].fields)
		}
		_ = tx.StreamKeep(to, h)
	}, true
}
