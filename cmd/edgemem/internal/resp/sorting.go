package resp

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

func sortCommands() []*command {
	const acl = "set sortedset list dangerous -keyspace"
	unknown := func(access string, find func(line [][]byte) []int) keySpec {
		return keySpec{access: access, find: find}
	}
	nowhere := func([][]byte) []int { return nil }
	return []*command{
		{name: "sort", arity: -2, flags: "write denyoom movablekeys", acl: acl,
			keys:  keySpec{first: 1, last: 1, step: 1, parts: []keySpec{keyAt(1, "RO access"), unknown("RO access", nowhere), unknown("OW update", storeOfSort)}},
			group: "generic", since: "1.0.0", cost: "O(N log N) for N members",
			summary: "Lists the members of a set in order, by themselves or by other keys.",
			note:    localView + " STORE replaces what this node has seen under the key.", write: func(c *client, tx *crdt.Tx) { c.sort(&tx.View, tx) }},
		{name: "sort_ro", arity: -2, flags: "readonly movablekeys", acl: acl,
			keys:  keySpec{first: 1, last: 1, step: 1, parts: []keySpec{keyAt(1, "RO access"), unknown("RO access", nowhere)}},
			group: "generic", since: "7.0.0", cost: "O(N log N) for N members",
			summary: "Lists the members of a set in order; SORT without STORE.",
			note:    localView, read: func(c *client, v *crdt.View) { c.sort(v, nil) }},
	}
}

// storeOfSort finds the key behind the last STORE.
func storeOfSort(line [][]byte) (at []int) {
	for i := 2; i < len(line); i++ {
		switch {
		case equalFold(line[i], "limit"):
			i += 2
		case equalFold(line[i], "get"), equalFold(line[i], "by"):
			i++
		case equalFold(line[i], "store") && i+1 < len(line):
			i++
			at = []int{i}
		}
	}
	return at
}

// sorting is what SORT is asked for.
type sorting struct {
	by         string
	byPattern  bool // by names other keys
	unsorted   bool // by names the same for all: the order stays as it is
	gets       []string
	start, n   int64
	descending bool
	alpha      bool
	store      []byte // the key to store in; nil: none
}

func (c *client) sortOptions(storing bool) (o sorting, ok bool) {
	o.n = -1
	for i := 2; i < len(c.args); i++ {
		word, more := lowerWord(c.args[i]), len(c.args)-1-i
		switch {
		case word == "asc":
			o.descending = false
		case word == "desc":
			o.descending = true
		case word == "alpha":
			o.alpha = true
		case word == "limit" && more >= 2:
			if o.start, ok = c.integer(i + 1); !ok {
				return o, false
			}
			if o.n, ok = c.integer(i + 2); !ok {
				return o, false
			}
			i += 2
		case word == "store" && more >= 1 && storing:
			i++
			o.store = c.args[i]
		case word == "by" && more >= 1:
			i++
			o.by = view(c.args[i])
			o.byPattern = strings.Contains(o.by, "*")
			o.unsorted = !o.byPattern
		case word == "get" && more >= 1:
			i++
			o.gets = append(o.gets, view(c.args[i]))
		default:
			c.fail(errSyntax)
			return o, false
		}
	}
	return o, true
}

// sortable is one element with what it is ordered by.
type sortable struct {
	text   string
	score  float64
	weight []byte // of an alphabetical order by other keys; nil: there is none
}

// sort is SORT; tx is nil where nothing can be stored.
func (c *client) sort(v *crdt.View, tx *crdt.Tx) {
	o, ok := c.sortOptions(tx != nil)
	if !ok {
		return
	}
	members, ok := c.sortMembers(v)
	if !ok {
		return
	}
	if o.unsorted && o.store != nil && v.Kind(view(c.args[1])) == crdt.KindSet { // a list has an order, and it is to be the same each time
		o.unsorted, o.alpha = false, true
		o.by, o.byPattern = "", false
	}
	elements := make([]sortable, len(members))
	for i, text := range members {
		elements[i].text = text
		if !o.unsorted && !o.weigh(v, &elements[i]) {
			c.fail("ERR One or more scores can't be converted into double")
			return
		}
	}
	if !o.unsorted {
		slices.SortStableFunc(elements, o.compare)
	}
	elements = o.limit(elements)
	if o.store != nil {
		c.storeSorted(tx, o, elements)
		return
	}
	c.sortReply(v, o, elements)
}

// sortMembers reads the elements of the key, or answers why they cannot be sorted.
func (c *client) sortMembers(v *crdt.View) (members []string, ok bool) {
	key := view(c.args[1])
	switch v.Kind(key) {
	case crdt.KindNone:
		return nil, true
	case crdt.KindSet:
		return c.gather(func(fn func(string) bool) { _ = v.SetEach(key, fn) })
	case crdt.KindList:
		return c.gather(func(fn func(string) bool) {
			_ = v.ListEach(key, 0, false, func(val []byte) bool { return fn(string(val)) })
		})
	case crdt.KindSorted:
		return c.gather(func(fn func(string) bool) {
			_ = v.SortedEach(key, 0, false, func(name []byte, _ float64) bool { return fn(string(name)) })
		})
	}
	c.fail(errWrongType)
	return nil, false
}

// weigh finds what an element is ordered by; ok is false where that should be a number and is none.
func (o *sorting) weigh(v *crdt.View, e *sortable) (ok bool) {
	by, there := []byte(e.text), true
	if o.byPattern {
		by, there = lookupPattern(v, o.by, e.text)
	}
	switch {
	case o.alpha:
		if there {
			e.weight = slices.Clip(by)
		}
		return true
	case !there:
		return true
	}
	e.score, ok = parseScore(by)
	return ok
}

// parseScore reads a number as C's strtod does, blanks in front included; up to a zero byte, where C's text ends.
func parseScore(b []byte) (score float64, ok bool) {
	b, _, _ = bytes.Cut(b, []byte{0})
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, true
	}
	if bytes.IndexByte(b, '_') >= 0 {
		return 0, false
	}
	text := view(b)
	if sign, digits := text[:len(text)-len(strings.TrimLeft(text, "+-"))], strings.TrimLeft(text, "+-"); len(digits) > 1 && digits[0] == '0' && digits[1]|0x20 == 'x' && !strings.ContainsAny(digits, "pP") {
		text = sign + digits + "p0" // which C does without
	}
	score, err := strconv.ParseFloat(text, 64)
	return score, err == nil && !math.IsNaN(score)
}

func (o *sorting) compare(a, b sortable) int {
	n := 0
	switch {
	case !o.alpha:
		if n = cmp.Compare(a.score, b.score); n == 0 {
			n = cmp.Compare(a.text, b.text)
		}
	case o.byPattern && (a.weight == nil || b.weight == nil):
		n = compareBool(a.weight != nil, b.weight != nil)
	default:
		n = cmp.Compare(cText(a.weight), cText(b.weight))
	}
	if o.descending {
		return -n
	}
	return n
}

func compareBool(a, b bool) int { return zeroOne(a) - zeroOne(b) }

// lookupPattern puts an element in the place of the star of a pattern, and reads the key, or the field behind "->", of
// that name. "#" is the element itself.
func lookupPattern(v *crdt.View, pattern, element string) (val []byte, ok bool) {
	if pattern == "#" {
		return []byte(element), true
	}
	head, tail, found := strings.Cut(pattern, "*")
	if !found {
		return nil, false
	}
	post, field, isField := strings.Cut(tail, "->")
	if isField = isField && field != ""; !isField {
		post = tail
	}
	key := head + element + post
	if isField {
		val, ok, _ = v.MapGet(key, field)
		return val, ok
	}
	val, ok, _ = v.Get(key)
	return val, ok
}

// limit leaves what LIMIT says.
func (o *sorting) limit(elements []sortable) []sortable {
	all := int64(len(elements))
	from := min(max(o.start, 0), all)
	upto := all
	if o.n >= 0 {
		upto = min(all, from+min(o.n, all))
	}
	return elements[from:upto]
}

// storeSorted makes the key a list of the elements, or of what GET finds for them; what it does not find is stored as nothing.
func (c *client) storeSorted(tx *crdt.Tx, o sorting, elements []sortable) {
	var values [][]byte
	for _, e := range elements {
		if o.gets == nil {
			values = append(values, []byte(e.text))
		}
		for _, pattern := range o.gets {
			val, _ := lookupPattern(&tx.View, pattern, e.text)
			values = append(values, bytes.Clone(val))
		}
	}
	dest := string(o.store)
	tx.Del(dest)
	for i, val := range values {
		if err := tx.ListInsert(dest, i, val); err != nil {
			c.failList(err)
			return
		}
	}
	c.int(int64(len(values)))
}

// sortReply answers with the elements, or with what GET finds for them.
func (c *client) sortReply(v *crdt.View, o sorting, elements []sortable) {
	c.array(len(elements) * max(1, len(o.gets)))
	for _, e := range elements {
		if c.overflowed {
			return
		}
		if o.gets == nil {
			c.bulkString(e.text)
		}
		for _, pattern := range o.gets {
			if val, ok := lookupPattern(v, pattern, e.text); ok {
				c.bulk(val)
				continue
			}
			if c.room(8) {
				c.null()
			}
		}
	}
}
