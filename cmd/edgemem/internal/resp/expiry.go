package resp

import "github.com/edgemem/edgemem/crdt"

const longestWins = "Concurrent settings: the longest wins and PERSIST beats all; a later setting that has seen them may shorten. A key is hidden on every node at the instant by that node's clock."

func expiryCommands() []*command {
	return []*command{
		expireCommand("expire", "1.0.0", "Makes a key expire after some seconds.", expiryEX),
		expireCommand("pexpire", "2.6.0", "Makes a key expire after some milliseconds.", expiryPX),
		expireCommand("expireat", "1.2.0", "Makes a key expire at a Unix time in seconds.", expiryEXAT),
		expireCommand("pexpireat", "2.6.0", "Makes a key expire at a Unix time in milliseconds.", expiryPXAT),
		ttlCommand("ttl", "1.0.0", "Tells the seconds until a key expires.", "nondeterministic_output", func(at, now int64) int64 { return roundSeconds(at - now) }),
		ttlCommand("pttl", "2.6.0", "Tells the milliseconds until a key expires.", "nondeterministic_output", func(at, now int64) int64 { return at - now }),
		ttlCommand("expiretime", "7.0.0", "Tells the Unix time in seconds at which a key expires.", "", func(at, _ int64) int64 { return roundSeconds(at) }),
		ttlCommand("pexpiretime", "7.0.0", "Tells the Unix time in milliseconds at which a key expires.", "", func(at, _ int64) int64 { return at }),
		{name: "persist", arity: 2, flags: "write fast", keys: oneKey("RW update"),
			group: "generic", since: "2.2.0", cost: "O(1)",
			summary: "Takes a key's expiry away.",
			note:    longestWins, write: persist},
	}
}

// expireCommand is one of the four ways to give a key an expiry.
func expireCommand(name, since, summary string, kind expiryKind) *command {
	return &command{name: name, arity: -3, flags: "write fast", keys: oneKey("RW update"), group: "generic", since: since, cost: "O(1)",
		summary: summary, note: longestWins, write: func(c *client, tx *crdt.Tx) { c.expire(tx, kind, name) }}
}

// ttlCommand is one of the four ways to ask for it; answer makes the reply from the instant and now.
func ttlCommand(name, since, summary, tips string, answer func(at, now int64) int64) *command {
	return &command{name: name, arity: 2, flags: "readonly fast", keys: oneKey("RO access"), tips: tips, group: "generic", since: since, cost: "O(1)",
		summary: summary, read: func(c *client, v *crdt.View) { c.ttl(v, answer) }}
}

// expireConditions are the options of EXPIRE.
type expireConditions struct{ nx, xx, gt, lt bool }

// parseConditions reads them, or answers why they cannot be.
func (c *client) parseConditions(from int) (o expireConditions, ok bool) {
	for _, arg := range c.args[from:] {
		switch lowerWord(arg) {
		case "nx":
			o.nx = true
		case "xx":
			o.xx = true
		case "gt":
			o.gt = true
		case "lt":
			o.lt = true
		default:
			c.fail("ERR Unsupported option " + cText(arg))
			return o, false
		}
	}
	switch {
	case o.nx && (o.xx || o.gt || o.lt):
		c.fail("ERR NX and XX, GT or LT options at the same time are not compatible")
	case o.gt && o.lt:
		c.fail("ERR GT and LT options at the same time are not compatible")
	default:
		return o, true
	}
	return o, false
}

// allow says whether an expiry at the instant when may take the place of what the key has.
func (o expireConditions) allow(have int64, has bool, when int64) bool {
	switch {
	case o.nx && has, o.xx && !has:
		return false
	case o.gt && (!has || when <= have):
		return false
	case o.lt && has && when >= have:
		return false
	}
	return true
}

func (c *client) expire(tx *crdt.Tx, kind expiryKind, name string) {
	o, ok := c.parseConditions(3)
	if !ok {
		return
	}
	n, ok := c.integer(2)
	if !ok {
		return
	}
	at, fits := instant(kind, n, tx.Now())
	if !fits {
		c.fail("ERR invalid expire time in '" + name + "' command")
		return
	}
	key := string(c.args[1])
	have, has := tx.ExpireAt(key)
	c.bool01(tx.Kind(key) != crdt.KindNone && o.allow(have, has, at) && tx.Expire(key, at))
}

// What TTL and its like answer for a key without an expiry, and for none.
const (
	ttlNever  = -1
	ttlAbsent = -2
)

func (c *client) ttl(v *crdt.View, answer func(at, now int64) int64) {
	key := view(c.args[1])
	at, ok := v.ExpireAt(key)
	switch {
	case ok:
		c.int(answer(at, v.Now()))
	case v.Kind(key) != crdt.KindNone:
		c.int(ttlNever)
	default:
		c.int(ttlAbsent)
	}
}

// roundSeconds rounds to the nearest second, as Redis does, also near the end of time.
func roundSeconds(milliseconds int64) int64 { return milliseconds/1000 + milliseconds%1000/500 }

func persist(c *client, tx *crdt.Tx) { c.bool01(tx.Persist(string(c.args[1]))) }
