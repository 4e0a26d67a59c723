package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A stream is a log whose entries have ids that grow. Each entry is a cell of its own, named by its id (streamid.go), so that entries of
// all sides stay; a removal takes what it has seen.
//
//	CellEntry, by name   a register: names and values of the fields by turns, each behind its length
//	CellStream           the head, registers of which the largest shows: ms and seq of the last id that was given out, ms and seq of the
//	                     largest that was removed, how many entries were added. Written only where the last entry does not tell,
//	                     so that to add an entry, or to trim, is a write of that entry alone
//
// New ids go beyond all that shows here. Their seq ends in 16 bits of the start that writes, so two nodes hardly ever take one id in one
// millisecond; where they do, or where callers name ids, both entries are there.
//
// Entries that others wrote arrive late, with ids below those that a reader has had. So readers go by arrival: a StreamCursor is
// at a place in the order in which entries came to be here, and reads on in rounds, each in the order of ids. Arrivals are numbered
// in memory alone. What was loaded from the durable image came before all else.
//
//	cost: 80 bytes an entry beside its fields, the name of 20 and the order (order.go) among them; another 14 to 20 where somebody reads
//	      on by cursor. An entry is added in O(1) but for the order's leaf, and read in O(log n).

// Errors of streams.
var (
	ErrStreamID   = errors.New("crdt: the id is not beyond the stream's last")
	ErrStreamFull = errors.New("crdt: the stream has had its last possible id")
	ErrNoStream   = errors.New("crdt: there is no such stream")
)

// StreamHead is what a stream knows beside its entries.
type StreamHead struct {
	Last    StreamID // that was given out
	Removed StreamID // the largest that was removed by its id
	Added   uint64   // entries, ever. Where nodes added some concurrently, at least as many as there are
}

func (h StreamHead) encode() (b []byte) {
	for _, x := range []uint64{h.Last.MS, h.Last.Seq, h.Removed.MS, h.Removed.Seq, h.Added} {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

// decodeStreamHead reads a register. What no version writes counts as zeros, everywhere alike.
func decodeStreamHead(b []byte) (h StreamHead) {
	d := decoder{b: b}
	h = StreamHead{StreamID{d.uvarint(), d.uvarint()}, StreamID{d.uvarint(), d.uvarint()}, d.uvarint()}
	if d.err != nil {
		return StreamHead{}
	}
	return h
}

// meet takes another's register in.
func (h StreamHead) meet(o StreamHead) StreamHead {
	if n := o.Last.Compare(h.Last); n > 0 || n == 0 && o.Added > h.Added {
		h.Last, h.Added = o.Last, o.Added
	}
	if o.Removed.Compare(h.Removed) > 0 {
		h.Removed = o.Removed
	}
	return h
}

// appendFields writes an entry's register.
func appendFields(b []byte, fields [][]byte) []byte {
	for _, f := range fields {
		b = appendBytes(b, f)
	}
	return b
}

// takeFields reads it. What no version writes has no fields, everywhere alike.
func takeFields(b []byte, room [][]byte) (fields [][]byte) {
	d := decoder{b: b}
	for len(d.b) > 0 {
		room = append(room, d.bytes(MaxValueBytes))
	}
	if d.err != nil || len(room)%2 != 0 {
		return nil
	}
	return room
}

// streamHead is the view of a stream's head.
func (v *View) streamHead(e entry) (h StreamHead) {
	if c := e.cell(CellStream, ""); c != nil {
		for i := range c.sibs {
			if s := &c.sibs[i]; s.tag == TagReg {
				h = h.meet(decodeStreamHead(s.val))
			}
		}
	}
	if top, ok := v.topEntry(e); ok && top.id.Compare(h.Last) > 0 {
		h.Last, h.Added = top.id, top.number
	}
	h.Added = max(h.Added, uint64(e.count(CellEntry)))
	return h
}

// topEntry is the name of the last entry.
func (v *View) topEntry(e entry) (top entryName, ok bool) {
	if e.count(CellEntry) == 0 {
		return top, false
	}
	q := v.orderOf(e, CellEntry)
	q.each(q.len()-1, true, func(ref uint64) bool {
		top, ok = takeEntryName(v.r.store.subOf(ref))
		return false
	})
	return top, ok
}

// StreamHead tells what a stream knows; ok is false where there is none. Error: ErrWrongType.
func (v *View) StreamHead(key string) (h StreamHead, ok bool, err error) {
	e, err := v.of(key, KindStream)
	if !e.ok() {
		return h, false, err
	}
	return v.streamHead(e), true, nil
}

// streamTag is how many bits of a new id's seq are the writer's.
const streamTag = 16

// nextStreamID is a new id for an entry: the present millisecond, or beyond the last id where that is not behind it. Error: ErrStreamFull.
func (t *Tx) nextStreamID(last StreamID) (id StreamID, err error) {
	tag := t.r.origins[t.r.self].hash & (1<<streamTag - 1)
	if now := uint64(max(t.Now(), 0)); now > last.MS {
		return StreamID{now, tag}, nil
	}
	id = StreamID{last.MS, last.Seq>>streamTag<<streamTag | tag}
	if id.Seq > last.Seq {
		return id, nil
	}
	if id.Seq += 1 << streamTag; id.Seq > last.Seq {
		return id, nil
	}
	if id.MS++; id.MS == 0 {
		return id, ErrStreamFull
	}
	return StreamID{id.MS, tag}, nil
}

// StreamAppend adds an entry under a new id: of the present millisecond, or beyond the last. Its fields are names and values by turns; the
// stream may not have been there. Errors: ErrWrongType, ErrTooLarge, ErrStreamFull.
func (t *Tx) StreamAppend(key string, fields [][]byte) (id StreamID, err error) {
	e, err := t.need(key, KindStream)
	if err != nil {
		return id, err
	}
	is := t.streamHead(e)
	if id, err = t.nextStreamID(is.Last); err != nil {
		return id, err
	}
	return id, t.putEntry(e, key, id, is.Added+1, fields)
}

// StreamAdd is StreamAppend under an id of the caller's. Errors: ErrWrongType, ErrTooLarge, ErrStreamID of an id that is not beyond the last.
func (t *Tx) StreamAdd(key string, id StreamID, fields [][]byte) error {
	e, err := t.need(key, KindStream)
	if err != nil {
		return err
	}
	is := t.streamHead(e)
	if id.Compare(is.Last) <= 0 {
		return ErrStreamID
	}
	return t.putEntry(e, key, id, is.Added+1, fields)
}

// StreamPut is StreamAdd with an id of any order, as for a copy of another stream. Errors: ErrWrongType, ErrTooLarge.
func (t *Tx) StreamPut(key string, id StreamID, fields [][]byte) error {
	e, err := t.need(key, KindStream)
	if err != nil {
		return err
	}
	return t.putEntry(e, key, id, t.streamHead(e).Added+1, fields)
}

// putEntry writes an entry, by its number.
func (t *Tx) putEntry(e entry, key string, id StreamID, number uint64, fields [][]byte) error {
	size := 0
	for _, f := range fields {
		size += len(f) + binary.MaxVarintLen32
	}
	val := appendFields(make([]byte, 0, size), fields)
	if err := fits(key, "", val); err != nil {
		return err
	}
	var room [entryNameMax]byte
	name := entryName{id, t.r.origins[t.r.self].hash, number}
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellEntry, string(name.append(room[:0])))
	t.assign(c, val)
	return nil
}

// StreamSet writes what a stream knows. Its last id must not be below its last entry's. Errors: ErrWrongType, ErrNoStream, ErrStreamID.
func (t *Tx) StreamSet(key string, h StreamHead) error {
	e, err := t.need(key, KindStream)
	switch {
	case err != nil:
		return err
	case e.kind() == KindNone:
		return ErrNoStream
	}
	if top, ok := t.topEntry(e); ok && h.Last.Compare(top.id) < 0 {
		return ErrStreamID
	}
	t.writeHead(key, h)
	return nil
}

func (t *Tx) writeHead(key string, h StreamHead) {
	c := t.r.handle()
	t.r.seek(c, key, CellStream, "")
	t.assign(c, h.encode())
}

// StreamRemove removes the entries of some ids, as far as they were seen here. It gives how many there were. Error: ErrWrongType.
func (t *Tx) StreamRemove(key string, ids ...StreamID) (removed int, err error) {
	e, err := t.need(key, KindStream)
	if err != nil || e.kind() == KindNone {
		return 0, err
	}
	top, _ := t.topEntry(e)
	is := t.streamHead(e)
	want, atTop := is, false
	var names []string
	for _, id := range ids {
		n := len(names)
		if names = t.namesOf(e, id, names); len(names) == n {
			continue
		}
		atTop = atTop || id == top.id
		if id.Compare(want.Removed) > 0 {
			want.Removed = id
		}
	}
	slices.Sort(names)
	names = slices.Compact(names) // an id may be named twice
	if atTop || want != is {
		t.writeHead(key, want) // first, so that nobody sees the last entry go before it
	}
	t.removeEntries(key, names)
	t.keepHead(key, want)
	return len(names), nil
}

// keepHead writes the head if what the entries tell is something else, as where several nodes have added to the count.
func (t *Tx) keepHead(key string, want StreamHead) {
	if t.streamHead(t.r.lookup(key)) != want {
		t.writeHead(key, want)
	}
}

// StreamKeep makes a stream know what another does, of which it is a copy; it may have no entries. Error: ErrWrongType.
func (t *Tx) StreamKeep(key string, h StreamHead) error {
	if err := fits(key, "", nil); err != nil {
		return err
	}
	if _, err := t.need(key, KindStream); err != nil {
		return err
	}
	t.keepHead(key, h)
	return nil
}

// namesOf lists the names of the entries of an id.
func (v *View) namesOf(e entry, id StreamID, names []string) []string {
	q := v.orderOf(e, CellEntry)
	start := string(id.prefix(nil))
	q.each(q.rank(&mark{key: id.MS, sub: []byte(start)}), false, func(ref uint64) bool {
		name := string(v.r.store.subOf(ref))
		if !strings.HasPrefix(name, start) {
			return false
		}
		names = append(names, name)
		return true
	})
	return names
}

func (t *Tx) removeEntries(key string, names []string) {
	for _, name := range names {
		c := t.r.handle()
		t.r.seek(c, key, CellEntry, name)
		t.remove(c)
	}
}

// StreamTrim removes the first n entries, as far as they were seen here. It gives how many there were. Error: ErrWrongType.
func (t *Tx) StreamTrim(key string, n int) (removed int, err error) {
	e, err := t.need(key, KindStream)
	if err != nil || e.kind() == KindNone || n <= 0 {
		return 0, err
	}
	length, is := e.count(CellEntry), t.streamHead(e)
	if n = min(n, length); n == 0 {
		return 0, nil
	}
	if n == length && n > fewRemoves {
		exp := e.exp()
		t.drop(key)
		t.writeHead(key, is)
		if exp != 0 {
			t.Expire(key, exp)
		}
		return n, nil
	}
	if n == length {
		t.writeHead(key, is)
		e = t.r.lookup(key)
	}
	t.removeEntries(key, t.firstNames(e, n))
	t.keepHead(key, is)
	return n, nil
}

// firstNames lists the names of the first n entries.
func (v *View) firstNames(e entry, n int) []string {
	names := make([]string, 0, n)
	q := v.orderOf(e, CellEntry)
	q.each(0, false, func(ref uint64) bool {
		if len(names) == n {
			return false
		}
		names = append(names, string(v.r.store.subOf(ref)))
		return true
	})
	return names
}

// StreamLen counts the entries. Error: ErrWrongType.
func (v *View) StreamLen(key string) (int, error) {
	e, err := v.of(key, KindStream)
	if !e.ok() {
		return 0, err
	}
	return e.count(CellEntry), nil
}

// StreamRank counts the entries whose ids are less than one. Error: ErrWrongType.
func (v *View) StreamRank(key string, id StreamID) (int, error) {
	e, err := v.of(key, KindStream)
	if !e.ok() {
		return 0, err
	}
	q := v.orderOf(e, CellEntry)
	return q.rank(&mark{key: id.MS, sub: id.prefix(nil)}), nil
}

// StreamEach calls fn on the entries from a rank on, in the order of their ids, or backwards, until fn returns false. fn must neither write
// nor keep fields. Errors: ErrWrongType, ErrUnreadable, with which it ends.
func (v *View) StreamEach(key string, from int, back bool, fn func(id StreamID, fields [][]byte) bool) error {
	e, err := v.of(key, KindStream)
	if !e.ok() {
		return err
	}
	var room [][]byte
	q := v.orderOf(e, CellEntry)
	q.each(from, back, func(ref uint64) bool {
		var more bool
		room, more, err = v.tellEntry(e, ref, room, fn)
		return more && err == nil
	})
	return v.failed(err)
}

// tellEntry calls fn on the entry of a record.
func (v *View) tellEntry(e entry, ref uint64, room [][]byte, fn func(id StreamID, fields [][]byte) bool) (again [][]byte, more bool, err error) {
	val, err := v.item(e, ref)
	if err != nil {
		return room, false, err
	}
	name, _ := takeEntryName(v.r.store.subOf(ref))
	fields := takeFields(val, room[:0])
	return fields, fn(name.id, fields), nil
}

// StreamCursor is a reader's place: it has had what arrived before From, and of what arrived before To the entries up to a name. It means
// something to the replica that gave it, until that ends. The zero cursor has had nothing.
//
// What this start writes goes beyond all that shows, and so beyond the last id that a reader has had. Where it does not, the stream was removed
// meanwhile, and begins anew: such entries do not come, as in Redis.
type StreamCursor struct {
	From, To uint64
	After    string
	Last     StreamID
}

// over reports whether the round is.
func (at StreamCursor) over() bool { return at.From == at.To }

// StreamFrom is the place of a reader that has had everything up to an id.
func (v *View) StreamFrom(id StreamID) StreamCursor {
	return StreamCursor{To: v.r.aside().entered + 1, After: id.beyond(), Last: id}
}

// StreamEnd is the place of a reader that waits for what comes behind an id.
func (v *View) StreamEnd(last StreamID) StreamCursor {
	return StreamCursor{From: v.r.aside().entered + 1, To: v.r.aside().entered + 1, Last: last}
}

// arrive numbers an entry of a stream that comes to be here.
func (r *Region) arrive(c *cell, was bool) {
	if was || !c.present() {
		return
	}
	if c.arrival = 0; !r.loading {
		r.setAside().entered++
		c.arrival = r.aside().entered
	}
}

// streamRound is up to how many arrivals a reader has in the order of their ids, before later ones.
const streamRound = 1024

// StreamRead calls fn on the entries that a reader has not had, up to most, or all if that is 0, until fn returns false. It gives the place
// behind the last. Entries of one id come together, also beyond most. fn must neither write nor keep fields. Errors: ErrWrongType,
// ErrUnreadable, with which it ends.
func (v *View) StreamRead(key string, at StreamCursor, most int, fn func(id StreamID, fields [][]byte) bool) (StreamCursor, error) {
	e, err := v.of(key, KindStream)
	if !e.ok() {
		return at, err
	}
	end := v.r.aside().entered + 1
	if at.To > end || at.From > at.To { // of another life of the replica
		at.From, at.To = 0, end
	}
	x := streamReading{v: v, e: e, at: at, had: at.Last, most: most, fn: fn}
	for !x.ended && (!x.at.over() || x.at.From < end) {
		if x.at.over() {
			x.at = v.nextRound(e, x.at, end)
		}
		v.eachOfRound(e, x.at, x.entry)
		if !x.ended {
			x.at.From = x.at.To
		}
	}
	return x.at, v.failed(x.err)
}

// streamReading is a StreamRead under way.
type streamReading struct {
	v       *View
	e       entry
	at      StreamCursor
	had     StreamID // the last id before
	n, most int
	fn      func(id StreamID, fields [][]byte) bool
	room    [][]byte
	ended   bool // before all was read
	err     error
}

// entry gives one entry to the reader; it reports whether to go on.
func (x *streamReading) entry(ref uint64) bool {
	r := x.v.r
	name := r.store.subOf(ref)
	n, _ := takeEntryName(name)
	switch {
	case r.hasSelf && n.writer == r.origins[r.self].hash && n.id.Compare(x.had) <= 0:
		return true
	case x.most > 0 && x.n >= x.most && n.id != x.at.Last:
		x.ended = true
		return false
	}
	after, more := string(name), false
	if x.room, more, x.err = x.v.tellEntry(x.e, ref, x.room, x.fn); x.err == nil {
		x.n++
		x.at.After, x.at.Last = after, n.id
	}
	x.ended = !more || x.err != nil
	return !x.ended
}

// nextRound is the round of the first arrivals from one on.
func (v *View) nextRound(e entry, at StreamCursor, end uint64) StreamCursor {
	at.To, at.After = end, ""
	if at.From == 0 {
		return at
	}
	q := v.arrivalsOf(e)
	q.each(q.rank(&mark{key: at.From})+streamRound, false, func(ref uint64) bool {
		p := unpack(v.r.store.mem.Bytes(ref))
		at.To = p.arrival
		return false
	})
	return at
}

// eachOfRound calls fn on what is left of a round, in the order of ids, until it returns false.
func (v *View) eachOfRound(e entry, at StreamCursor, fn func(ref uint64) bool) {
	s := &v.r.store
	behind := mark{key: entryMS([]byte(at.After)), sub: []byte(at.After), beyond: true}
	if at.From == 0 {
		q := v.orderOf(e, CellEntry)
		q.each(q.rank(&behind), false, func(ref uint64) bool {
			p := unpack(s.mem.Bytes(ref))
			return p.arrival >= at.To || fn(ref)
		})
		return
	}
	var items []orderItem
	q := v.arrivalsOf(e)
	q.each(q.rank(&mark{key: at.From}), false, func(ref uint64) bool {
		p := unpack(s.mem.Bytes(ref))
		if x := (orderItem{entryMS(p.sub), ref}); p.arrival < at.To && !s.below(x, &behind) {
			items = append(items, x)
		}
		return p.arrival < at.To
	})
	slices.SortFunc(items, s.compareItems)
	for _, x := range items {
		if !fn(x.ref) {
			return
		}
	}
}

// arrivalsOf gives a stream's entries in the order of their arrival, see orderOf.
func (v *View) arrivalsOf(e entry) ordered {
	r := v.r
	if o := r.aside().arrivals[e.ref]; o != nil {
		r.mark(&o.asked)
		return ordered{s: &r.store, kept: o}
	}
	if e.many() && e.size() >= orderMin {
		if v.writes {
			return ordered{s: &r.store, kept: r.keepOrder(e, CellEntry, true)}
		}
		v.want(headRef{e.hash, e.ref, true})
	}
	return ordered{s: &r.store, items: r.sorted(e, CellEntry, true)}
}

// String is for logs and tests.
func (at StreamCursor) String() string {
	return fmt.Sprintf("[%d,%d) after %x", at.From, at.To, at.After)
}
