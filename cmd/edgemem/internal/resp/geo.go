package resp

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

const geoNote = "A position is a member's score: the last GEOADD of a member wins. Finds what this node shows."

func geoCommands() []*command {
	const cost = "O(N+log(M)) for N members in the boxes around the shape, of M"
	search := func(name, since string, arity int, from geoForm, keys keySpec, read bool) *command {
		cmd := &command{name: name, arity: arity, keys: keys, group: "geo", since: since, cost: cost,
			summary: "Finds the members of a sorted set within a distance of a place.", note: geoNote}
		if from&geoSearch != 0 {
			cmd.summary = "Finds the members of a sorted set within a circle or a box."
		}
		if from&geoStore != 0 {
			cmd.summary = "Stores the members of a sorted set within a circle or a box in another."
		}
		if read {
			cmd.flags, cmd.read = "readonly", func(c *client, v *crdt.View) { c.findPlaces(v, nil, from) }
			return cmd
		}
		cmd.flags, cmd.write = "write denyoom", func(c *client, tx *crdt.Tx) { c.findPlaces(&tx.View, tx, from) }
		if from&geoSearch == 0 {
			cmd.flags += " movablekeys"
		}
		return cmd
	}
	storing := func(from int) keySpec {
		return keySpec{first: 1, last: 1, step: 1, parts: []keySpec{keyAt(1, "RO access"), keyBehind("STORE", from, "OW update"), keyBehind("STOREDIST", from, "OW update")}}
	}
	return []*command{
		{name: "geoadd", arity: -5, flags: "write denyoom", keys: oneKey("RW update"), group: "geo", since: "3.2.0", cost: "O(log(N)) for each member of a sorted set of N",
			summary: "Gives members of a sorted set their positions.", note: geoNote + " NX and XX look at this node alone.", write: geoadd},
		{name: "geopos", arity: -2, flags: "readonly", keys: oneKey("RO access"), group: "geo", since: "3.2.0", cost: "O(1) for each member",
			summary: "Tells the positions of members.", read: geopos},
		{name: "geohash", arity: -2, flags: "readonly", keys: oneKey("RO access"), group: "geo", since: "3.2.0", cost: "O(1) for each member",
			summary: "Tells the positions of members as geohashes.", read: geohash},
		{name: "geodist", arity: -4, flags: "readonly", keys: oneKey("RO access"), group: "geo", since: "3.2.0", cost: "O(1)",
			summary: "Tells how far two members are from each other.", read: geodist},
		search("georadius", "3.2.0", -6, geoPlace, storing(6), false),
		search("georadius_ro", "3.2.10", -6, geoPlace|geoReads, oneKey("RO access"), true),
		search("georadiusbymember", "3.2.0", -5, geoMember, storing(5), false),
		search("georadiusbymember_ro", "3.2.10", -5, geoMember|geoReads, oneKey("RO access"), true),
		search("geosearch", "6.2.0", -7, geoSearch, oneKey("RO access"), true),
		search("geosearchstore", "6.2.0", -8, geoSearch|geoStore, keyRoles(keyAt(1, "OW update"), keyAt(2, "RO access")), false),
	}
}

// geoForm is which of the searches a command is.
type geoForm uint8

const (
	geoPlace  geoForm = 1 << iota // GEORADIUS: a place, then a radius
	geoMember                     // GEORADIUSBYMEMBER: a member, then a radius
	geoSearch                     // GEOSEARCH: all by options
	geoStore                      // GEOSEARCHSTORE
	geoReads                      // STORE is no option
)

// lonLat reads a place from two arguments.
func (c *client) lonLat(i int) (p place, ok bool) {
	if p.lon, ok = c.float(i); !ok {
		return p, false
	}
	if p.lat, ok = c.float(i + 1); !ok {
		return p, false
	}
	if p.lon < -lonMax || p.lon > lonMax || p.lat < -latMax || p.lat > latMax {
		c.failf("ERR invalid longitude,latitude pair %s,%s", sixDigits(p.lon), sixDigits(p.lat))
		return p, false
	}
	return p, true
}

// sixDigits is C's %f.
func sixDigits(x float64) string {
	if math.IsInf(x, 0) {
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(x, 'f', 6, 64), "+"))
	}
	return strconv.FormatFloat(x, 'f', 6, 64)
}

// unit reads a unit of length as metres.
func (c *client) unit(i int) (meters float64, ok bool) {
	switch lowerWord(c.args[i]) {
	case "m":
		return 1, true
	case "km":
		return 1000, true
	case "ft":
		return 0.3048, true
	case "mi":
		return 1609.34, true
	}
	c.fail("ERR unsupported unit provided. please use M, KM, FT, MI")
	return 0, false
}

// length reads a length, or answers with what Redis says of it.
func (c *client) length(i int, what string) (x float64, ok bool) {
	if x, ok = parseFloat(c.args[i]); !ok {
		c.fail("ERR need numeric " + what)
	}
	return x, ok
}

func geoadd(c *client, tx *crdt.Tx) {
	at, ok := c.geoaddOptions()
	if !ok {
		return
	}
	asked := c.args
	args := slices.Clone(asked[:at])
	for ; at < len(asked); at += 3 {
		p, ok := c.lonLat(at)
		if !ok {
			return
		}
		args = append(args, strconv.AppendFloat(nil, p.score(), 'f', 0, 64), asked[at+2])
	}
	c.args = args // the rest is ZADD's
	zadd(c, tx)
	c.args = asked
}

// geoaddOptions says where the positions begin.
func (c *client) geoaddOptions() (at int, ok bool) {
	nx, xx := false, false
	for at = 2; at < len(c.args); at++ {
		word := lowerWord(c.args[at])
		if word != "nx" && word != "xx" && word != "ch" {
			break
		}
		nx, xx = nx || word == "nx", xx || word == "xx"
	}
	if (len(c.args)-at)%3 != 0 || nx && xx {
		c.fail(errSyntax)
		return at, false
	}
	return at, true
}

// eachPosition calls fn with the score of each member that is asked for.
func (c *client) eachPosition(v *crdt.View, fn func(score float64, there bool)) {
	key := view(c.args[1])
	if _, ok := c.sortedLen(v, key); !ok {
		return
	}
	c.array(len(c.args) - 2)
	for _, m := range c.args[2:] {
		score, there, _ := v.SortedScore(key, view(m))
		fn(score, there)
	}
}

func geopos(c *client, v *crdt.View) {
	c.eachPosition(v, func(score float64, there bool) {
		if !there {
			c.nullArray()
			return
		}
		c.position(placeOf(score))
	})
}

func (c *client) position(p place) {
	c.array(2)
	c.coordinate(p.lon)
	c.coordinate(p.lat)
}

// coordinate writes a number of at most 17 fraction digits, without the zeros at its end.
func (c *client) coordinate(x float64) {
	text := strings.TrimRight(strings.TrimRight(strconv.FormatFloat(x, 'f', 17, 64), "0"), ".")
	if text == "-0" {
		text = "0"
	}
	if c.resp3 {
		c.raw("," + text + "\r\n")
		return
	}
	c.bulkString(text)
}

func geohash(c *client, v *crdt.View) {
	c.eachPosition(v, func(score float64, there bool) {
		if !there {
			c.null()
			return
		}
		c.bulkString(placeOf(score).geohash())
	})
}

func geodist(c *client, v *crdt.View) {
	unit, ok := 1.0, true
	if len(c.args) > 5 {
		c.fail(errSyntax)
		return
	}
	if len(c.args) == 5 {
		if unit, ok = c.unit(4); !ok {
			return
		}
	}
	key := view(c.args[1])
	if _, ok := c.sortedLen(v, key); !ok {
		return
	}
	a, there, _ := v.SortedScore(key, view(c.args[2]))
	b, thereToo, _ := v.SortedScore(key, view(c.args[3]))
	if !there || !thereToo {
		c.null()
		return
	}
	c.meters(distance(placeOf(a), placeOf(b)) / unit)
}

func (c *client) meters(x float64) { c.bulkString(strconv.FormatFloat(x, 'f', 4, 64)) }

// geoQuery is what a search asks for.
type geoQuery struct {
	shape
	key        string
	dest       []byte // to store in; nil: to answer
	byDistance bool   // what is stored are distances, not positions

	fromMember, fromPlace, byRadius, byBox  bool
	withDistance, withHash, withCoordinates bool
	sort                                    int // 1: the nearest first, -1: the furthest
	any                                     bool
	count                                   int64
}

// found is a member within the shape.
type found struct {
	member string
	score  float64
	place  place
	meters float64
}

// findPlaces is GEOSEARCH and its relatives; tx is nil where nothing can be stored.
func (c *client) findPlaces(v *crdt.View, tx *crdt.Tx, form geoForm) {
	q := geoQuery{key: string(c.args[1])}
	if form&geoStore != 0 {
		q.key, q.dest = string(c.args[2]), c.args[1]
	}
	n, ok := c.sortedLen(v, q.key)
	if !ok || !c.parseGeo(v, &q, form, n > 0) {
		return
	}
	if n == 0 {
		c.answerPlaces(tx, q, nil)
		return
	}
	if q.count != 0 && q.sort == 0 && !q.any {
		q.sort = 1 // the nearest are wanted
	}
	c.answerPlaces(tx, q, q.search(v))
}

// search looks through the boxes that cover the shape.
func (q geoQuery) search(v *crdt.View) (all []found) {
	for _, box := range q.cover() {
		if q.full(len(all)) {
			break
		}
		from, to := box.scores()
		first, _ := v.SortedBelow(q.key, from, false)
		_ = v.SortedEach(q.key, first, false, func(name []byte, score float64) bool {
			if score >= to {
				return false
			}
			p := placeOf(score)
			if meters, ok := q.holds(p); ok {
				all = append(all, found{string(name), score, p, meters})
			}
			return !q.full(len(all))
		})
	}
	if q.sort != 0 {
		slices.SortStableFunc(all, func(a, b found) int { return q.sort * cmp.Compare(a.meters, b.meters) })
	}
	if q.count > 0 && int64(len(all)) > q.count {
		all = all[:q.count]
	}
	return all
}

// full says that ANY has as many as it wants.
func (q geoQuery) full(n int) bool { return q.any && int64(n) >= q.count }

func (c *client) answerPlaces(tx *crdt.Tx, q geoQuery, all []found) {
	if q.dest != nil {
		c.storePlaces(tx, q, all)
		return
	}
	options := 0
	for _, on := range []bool{q.withDistance, q.withHash, q.withCoordinates} {
		if on {
			options++
		}
	}
	c.array(len(all))
	for _, f := range all {
		if options > 0 {
			c.array(options + 1)
		}
		c.bulkString(f.member)
		if q.withDistance {
			c.meters(f.meters / q.unit)
		}
		if q.withHash {
			c.int(int64(f.score))
		}
		if q.withCoordinates {
			c.position(f.place)
		}
		if c.overflowed {
			return
		}
	}
}

func (c *client) storePlaces(tx *crdt.Tx, q geoQuery, all []found) {
	members := make([]member, len(all))
	for i, f := range all {
		members[i] = member{name: f.member, score: f.score}
		if q.byDistance {
			members[i].score = f.meters / q.unit
		}
	}
	c.storeMembers(tx, string(q.dest), members)
}
