package resp

import (
	"bytes"
	"math"
	"strconv"
	"unsafe"
)

// intBytesMax is the length of the longest int64, "-9223372036854775808".
const intBytesMax = 20

// parseInt reads a decimal integer as strictly as Redis does: no sign but '-', no leading zeros, no
// spaces, no "-0".
func parseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > intBytesMax {
		return 0, false
	}
	if len(b) == 1 && b[0] == '0' {
		return 0, true
	}
	digits, negative := b, b[0] == '-'
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || digits[0] < '1' || digits[0] > '9' {
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' || n > math.MaxUint64/10 {
			return 0, false
		}
		d := uint64(c - '0')
		if n = n * 10; n > math.MaxUint64-d {
			return 0, false
		}
		n += d
	}
	return signed(n, negative)
}

// signed gives n the sign, or says that it does not fit.
func signed(n uint64, negative bool) (int64, bool) {
	switch {
	case negative && n == 1<<63:
		return math.MinInt64, true
	case n > math.MaxInt64:
		return 0, false
	case negative:
		return -int64(n), true
	}
	return int64(n), true
}

// parseCursor reads what SCAN returned before, as strtoul does, on which Redis relies here: a sign is
// accepted, and nothing at all is zero.
func parseCursor(b []byte) (uint64, bool) {
	if len(b) == 0 {
		return 0, true
	}
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	n, err := strconv.ParseUint(view(b), 10, 64)
	if negative {
		n = -n
	}
	return n, err == nil
}

// view reads b as a string without copying. The string lives only as long as b is not written to:
// never store it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// equalFold compares ASCII without regard to case; lower is lower case already.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if lowerByte(c) != lower[i] {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// isDecimal tells a decimal with an optional fraction and exponent, so that the error for a bad argument
// can be told from that for a bad value.
func isDecimal(b []byte) bool {
	mantissa, exponent, hasExponent := bytes.Cut(bytes.ToLower(b), []byte("e"))
	whole, fraction, _ := bytes.Cut(unsigned(mantissa), []byte("."))
	if len(whole)+len(fraction) == 0 || !allDigits(whole) || !allDigits(fraction) {
		return false
	}
	exponent = unsigned(exponent)
	return !hasExponent || (len(exponent) > 0 && allDigits(exponent))
}

// unsigned takes one sign off the front.
func unsigned(b []byte) []byte {
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		return b[1:]
	}
	return b
}

func allDigits(b []byte) bool {
	for _, ch := range b {
		if ch < '0' || ch > '9' {
			return false
		}
	}
	return true
}
