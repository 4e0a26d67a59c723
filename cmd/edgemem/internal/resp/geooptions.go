package resp

import "github.com/edgemem/edgemem/crdt"

// errNoMember answers a search around a member that is not there.
const errNoMember = "ERR could not decode requested zset member"

// parseGeo reads a search; there says that the sorted set is.
func (c *client) parseGeo(v *crdt.View, q *geoQuery, form geoForm, there bool) bool {
	at := 2
	switch {
	case form&geoPlace != 0:
		at = 6
		var ok bool
		if q.center, ok = c.lonLat(2); !ok || !c.circle(q, 4) {
			return false
		}
	case form&geoMember != 0:
		at = 5
		if there && (!c.around(v, q, 2) || !c.circle(q, 3)) {
			return false
		}
	case form&geoStore != 0:
		at = 3
	}
	for at < len(c.args) {
		took := c.geoOption(v, q, form, at, there)
		if took == 0 {
			return false
		}
		at += took
	}
	return c.geoFits(q, form)
}

// circle reads a radius and its unit.
func (c *client) circle(q *geoQuery, i int) (ok bool) {
	if q.radius, ok = c.length(i, "radius"); !ok {
		return false
	}
	if q.radius < 0 {
		c.fail("ERR radius cannot be negative")
		return false
	}
	q.unit, ok = c.unit(i + 1)
	return ok
}

// rectangle reads a width, a height and their unit.
func (c *client) rectangle(q *geoQuery, i int) (ok bool) {
	if q.width, ok = c.length(i, "width"); !ok {
		return false
	}
	if q.height, ok = c.length(i+1, "height"); !ok {
		return false
	}
	if q.width < 0 || q.height < 0 {
		c.fail("ERR height or width cannot be negative")
		return false
	}
	q.box = true
	q.unit, ok = c.unit(i + 2)
	return ok
}

// around puts the middle where a member is.
func (c *client) around(v *crdt.View, q *geoQuery, i int) bool {
	score, there, _ := v.SortedScore(q.key, view(c.args[i]))
	if !there {
		c.fail(errNoMember)
		return false
	}
	q.center = placeOf(score)
	return true
}

// geoOption reads the option at an argument, and says how many arguments it took; 0: it is wrong, and that is answered.
func (c *client) geoOption(v *crdt.View, q *geoQuery, form geoForm, at int, there bool) int {
	word, more, search := lowerWord(c.args[at]), len(c.args)-1-at, form&geoSearch != 0
	yes := func(took int, ok bool) int {
		if ok {
			return took
		}
		return 0
	}
	switch {
	case word == "withdist":
		q.withDistance = true
	case word == "withhash":
		q.withHash = true
	case word == "withcoord":
		q.withCoordinates = true
	case word == "any":
		q.any = true
	case word == "asc":
		q.sort = 1
	case word == "desc":
		q.sort = -1
	case word == "count" && more >= 1:
		var ok bool
		if q.count, ok = c.integer(at + 1); ok && q.count <= 0 {
			c.fail("ERR COUNT must be > 0")
			ok = false
		}
		return yes(2, ok)
	case (word == "store" || word == "storedist") && more >= 1 && !search && form&geoReads == 0:
		q.dest, q.byDistance = c.args[at+1], word == "storedist"
		return 2
	case word == "storedist" && form&geoStore != 0:
		q.byDistance = true
	case word == "frommember" && more >= 1 && search && !q.fromPlace:
		q.fromMember = true
		return yes(2, !there || c.around(v, q, at+1))
	case word == "fromlonlat" && more >= 2 && search && !q.fromMember:
		var ok bool
		q.center, ok = c.lonLat(at + 1)
		q.fromPlace = true
		return yes(3, ok)
	case word == "byradius" && more >= 2 && search && !q.byBox:
		q.byRadius = true
		return yes(3, c.circle(q, at+1))
	case word == "bybox" && more >= 3 && search && !q.byRadius:
		q.byBox = true
		return yes(4, c.rectangle(q, at+1))
	default:
		c.fail(errSyntax)
		return 0
	}
	return 1
}

// geoFits checks what no single option can.
func (c *client) geoFits(q *geoQuery, form geoForm) bool {
	switch {
	case q.dest != nil && (q.withDistance || q.withHash || q.withCoordinates):
		what := "STORE option in GEORADIUS"
		if form&geoStore != 0 {
			what = "GEOSEARCHSTORE"
		}
		c.fail("ERR " + what + " is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
	case form&geoSearch != 0 && !q.fromMember && !q.fromPlace:
		c.fail("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for " + cut(c.args[0]))
	case form&geoSearch != 0 && !q.byRadius && !q.byBox:
		c.fail("ERR exactly one of BYRADIUS and BYBOX can be specified for " + cut(c.args[0]))
	case q.any && q.count == 0:
		c.fail("ERR the ANY argument requires COUNT argument")
	default:
		return true
	}
	return false
}
