package resp

import "math"

// setOptions are what SET and GETEX take after their positional arguments.
type setOptions struct {
	nx, xx, get, keepTTL, persist bool
	expiry                        expiryKind
	when                          []byte // the expiry's number
}

// expiryKind says what the number of an expiry means.
type expiryKind uint8

const (
	expiryNone expiryKind = iota
	expiryEX              // seconds from now
	expiryPX              // milliseconds from now
	expiryEXAT            // Unix seconds
	expiryPXAT            // Unix milliseconds
)

func (k expiryKind) inSeconds() bool { return k == expiryEX || k == expiryEXAT }
func (k expiryKind) relative() bool  { return k == expiryEX || k == expiryPX }

var expiryWords = map[string]expiryKind{"ex": expiryEX, "px": expiryPX, "exat": expiryEXAT, "pxat": expiryPXAT}

// optionBytesMax is the length of the longest option word.
const optionBytesMax = 16

// lowerWord is an option in lower case, or "" when it is longer than any.
func lowerWord(b []byte) string {
	if len(b) > optionBytesMax {
		return ""
	}
	var low [optionBytesMax]byte
	for i, ch := range b {
		low[i] = lowerByte(ch)
	}
	return string(low[:len(b)])
}

// parseSetOptions reads the options from args[from:]; reading is GETEX's set of them. It answers a syntax
// error, as Redis does, for options that are unknown or exclude each other.
func (c *client) parseSetOptions(from int, reading bool) (o setOptions, ok bool) {
	for i := from; i < len(c.args); i++ {
		word := lowerWord(c.args[i])
		ttlFree := o.expiry == expiryNone && !o.keepTTL && !o.persist
		kind := expiryWords[word]
		switch {
		case word == "nx" && !o.xx && !reading:
			o.nx = true
		case word == "xx" && !o.nx && !reading:
			o.xx = true
		case word == "get" && !reading:
			o.get = true
		case word == "keepttl" && !reading && o.expiry == expiryNone:
			o.keepTTL = true
		case word == "persist" && reading && o.expiry == expiryNone:
			o.persist = true
		case kind != expiryNone && (ttlFree || o.expiry == kind) && i+1 < len(c.args):
			i++
			o.expiry, o.when = kind, c.args[i]
		default:
			c.fail(errSyntax)
			return o, false
		}
	}
	return o, true
}

// expiryInstant turns an expiry's number into Unix milliseconds, or answers why it cannot be one.
func (c *client) expiryInstant(kind expiryKind, when []byte, now int64, name string) (at int64, ok bool) {
	if kind == expiryNone {
		return 0, true
	}
	n, isInt := parseInt(when)
	if !isInt {
		c.fail(errNotInteger)
		return 0, false
	}
	at, fits := instant(kind, n, now)
	if n <= 0 || !fits {
		c.fail("ERR invalid expire time in '" + name + "' command")
		return 0, false
	}
	return at, true
}

// instant converts n as kind says; fits is false where the result is no int64.
func instant(kind expiryKind, n, now int64) (at int64, fits bool) {
	if kind.inSeconds() {
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return 0, false
		}
		n *= 1000
	}
	if kind.relative() {
		if n > math.MaxInt64-now {
			return 0, false
		}
		n += now
	}
	return min(n, instantMax), true
}

// instantMax is the last instant that a region knows apart from "never".
const instantMax = math.MaxInt64 - 1
