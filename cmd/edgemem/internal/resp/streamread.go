package resp

import (
	"errors"
	"math"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// XREAD names a place in a stream by the id of the last entry that a reader had. Where entries arrive late, with ids below it, that does not
// tell what the reader has had. So the server keeps, for the ids that it ended replies with, the places in the order of arrival: each
// connection the last one of each stream, and the server the last one of each id, for connections that come new. A place of another
// connection serves only where it had nothing beyond the id; then it gives all that reading by id would give, and what arrived late.

// placeKey names a place; a connection's own are without an id.
type placeKey struct {
	region *fabric.Region
	key    string
	id     crdt.StreamID
}

// streamPlace is where a reader is, by which id it says so, and the largest that it had.
type streamPlace struct {
	at      crdt.StreamCursor
	id, top crdt.StreamID
}

// places are the last places that fit a number of bytes. The zero places keep none.
type places struct {
	most int

	mu    sync.Mutex
	of    map[placeKey]streamPlace
	queue []placeKey // the oldest first
	bytes int
}

// What places take at most, bytes.
const (
	placesBytesServer = 4 << 20
	placesBytesClient = 64 << 10 // of some 200 streams
	placeOverhead     = 256
)

func (k *placeKey) bytes() int { return placeOverhead + len(k.key) }

func (p *places) get(k placeKey) (streamPlace, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.of[k]
	return at, ok
}

// put keeps a place, and forgets the oldest where there are too many.
func (p *places) put(k placeKey, at streamPlace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.of[k]; !known {
		if k.bytes() > p.most {
			return
		}
		for p.bytes += k.bytes(); p.bytes > p.most; p.queue = p.queue[1:] {
			p.bytes -= p.queue[0].bytes()
			delete(p.of, p.queue[0])
		}
		p.queue = append(p.queue, k)
	}
	if p.of == nil {
		p.of = map[placeKey]streamPlace{}
	}
	p.of[k] = at
}

// held is what the places take.
func (p *places) held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// streamReader is one stream of an XREAD.
type streamReader struct {
	key  string
	last bool // +: the last entry
	streamPlace
}

// xreading is what XREAD is asked for.
type xreading struct {
	keys, ids [][]byte
	count     int64
	waits     bool
	deadline  time.Time
}

// xreadWaits reports whether an XREAD is one that may wait.
func xreadWaits(line [][]byte) bool {
	for _, arg := range line[1:] {
		switch lowerWord(arg) {
		case "block":
			return true
		case "streams":
			return false
		}
	}
	return false
}

func (c *client) parseRead() (q xreading, ok bool) {
	for i := 1; i < len(c.args); i++ {
		word, more := lowerWord(c.args[i]), len(c.args)-1-i
		switch {
		case word == "block" && more > 0:
			i++
			q.waits = true
			if q.deadline, ok = c.milliseconds(i); !ok {
				return q, false
			}
		case word == "count" && more > 0:
			i++
			if q.count, ok = c.integer(i); !ok {
				return q, false
			}
			q.count = max(q.count, 0)
		case word == "streams" && more > 0:
			rest := c.args[i+1:]
			if len(rest)%2 != 0 {
				c.fail("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
				return q, false
			}
			q.keys, q.ids = rest[:len(rest)/2], rest[len(rest)/2:]
			return q, true
		case word == "group" && more >= 2:
			c.fail("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
			return q, false
		case word == "noack":
			c.fail("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
			return q, false
		default:
			c.fail(errSyntax)
			return q, false
		}
	}
	c.fail(errSyntax)
	return q, false
}

// milliseconds reads how long a command waits; zero: until something comes.
func (c *client) milliseconds(i int) (deadline time.Time, ok bool) {
	ms, isInt := parseInt(c.args[i])
	now := time.Now()
	switch {
	case !isInt:
		c.fail("ERR timeout is not an integer or out of range")
	case ms < 0:
		c.fail("ERR timeout is negative")
	case ms > math.MaxInt64-now.UnixMilli():
		c.fail("ERR timeout is out of range")
	case ms == 0, ms > math.MaxInt64/int64(time.Millisecond): // longer than anybody lives
		return time.Time{}, true
	default:
		return now.Add(time.Duration(ms) * time.Millisecond), true
	}
	return time.Time{}, false
}

func xread(c *client, tx *crdt.Tx) {
	var readers []streamReader
	q, ok := c.parseRead()
	if !ok {
		return
	}
	if c.waiter != nil {
		readers = c.waiter.readers
	} else if readers, ok = c.readers(&tx.View, &q); !ok {
		return
	}
	at, n := c.openHeader(), 0
	for i := range readers {
		if c.readStream(&tx.View, &readers[i], q.count) {
			n++
		}
		if c.overflowed || len(c.buf) > at && c.buf[at] == '-' {
			return
		}
	}
	switch {
	case n > 0 && c.resp3:
		c.closeHeader(at, '%', n)
	case n > 0:
		c.closeArray(at, n)
	case !q.waits:
		c.nullArray()
	default:
		c.park(q.keys, q.deadline, c.nullArray)
		if c.waiter != nil {
			c.waiter.readers = readers
		}
	}
	if n > 0 || !q.waits {
		c.trackReads(&tx.View)
	}
}

// readers finds the places of all streams, or answers what is wrong.
func (c *client) readers(v *crdt.View, q *xreading) (out []streamReader, ok bool) {
	for i, k := range q.keys {
		x := streamReader{key: string(k)}
		h, there, ok := c.stream(v, x.key)
		if !ok {
			return nil, false
		}
		switch id := q.ids[i]; string(id) {
		case "$":
			x.streamPlace = streamPlace{at: v.StreamEnd(h.Last), top: h.Last}
		case "+":
			x.last = there
			x.streamPlace = streamPlace{at: v.StreamEnd(h.Last), top: h.Last}
		case ">":
			c.fail("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
			return nil, false
		default:
			from, ok := c.streamID(id, 0)
			if !ok {
				return nil, false
			}
			x.streamPlace = c.placeOf(v, placeKey{c.region, x.key, from})
		}
		out = append(out, x)
	}
	return out, true
}

// placeOf is where a reader is that names an id.
func (c *client) placeOf(v *crdt.View, k placeKey) streamPlace {
	if k.id != (crdt.StreamID{}) { // from the start of the stream nothing is late
		if p, ok := c.places.get(placeKey{region: k.region, key: k.key}); ok && p.id == k.id {
			return p
		}
		if p, ok := c.srv.places.get(k); ok && p.top == k.id {
			return p
		}
	}
	return streamPlace{v.StreamFrom(k.id), k.id, k.id}
}

// readStream answers with what a reader has not had of one stream, and keeps its place. It reports whether there was something.
func (c *client) readStream(v *crdt.View, x *streamReader, count int64) bool {
	if x.last {
		return c.readLast(v, x)
	}
	start, n := len(c.buf), 0
	c.streamHeader(x.key)
	at := c.openHeader()
	next, err := v.StreamRead(x.key, x.at, int(min(count, math.MaxInt32)), func(id crdt.StreamID, fields [][]byte) bool {
		c.entry(id, fields)
		if n++; id.Compare(x.top) > 0 {
			x.top = id
		}
		return !c.overflowed
	})
	switch {
	case errors.Is(err, crdt.ErrWrongType): // it has come to hold something else since this client waits
		c.buf = c.buf[:start]
		return false
	case c.unreadable(err), c.overflowed:
		return false
	case n == 0:
		c.buf = c.buf[:start]
	default:
		c.closeArray(at, n)
		x.id = next.Last
	}
	x.at = next
	c.keepPlace(x)
	return n > 0
}

// streamHeader begins the entries of one stream. RESP3 has them in a map.
func (c *client) streamHeader(key string) {
	if !c.resp3 {
		c.array(2)
	}
	c.bulkString(key)
}

// readLast answers with the last entry.
func (c *client) readLast(v *crdt.View, x *streamReader) bool {
	n, err := v.StreamLen(x.key)
	if n == 0 || err != nil {
		return false
	}
	c.streamHeader(x.key)
	c.entries(v, x.key, n-1, 1, false)
	x.id = x.top
	c.keepPlace(x)
	return true
}

// keepPlace keeps where a reader is.
func (c *client) keepPlace(x *streamReader) {
	if x.id != (crdt.StreamID{}) {
		c.places.put(placeKey{region: c.region, key: x.key}, x.streamPlace)
		c.srv.places.put(placeKey{c.region, x.key, x.id}, x.streamPlace)
	}
}
