package resp

import "strings"

// globMatch matches text against a pattern of Redis: * ? [abc] [^a-c] and \ before any of them. It goes
// back to the last star only, so its time is bounded by len(pattern) * len(text).
func globMatch(pattern, text string, fold bool) bool {
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, t
			p++
			continue
		}
		if width, ok := globOne(pattern[p:], text[t], fold); ok {
			p += width
			t++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, t = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// globPrefix is what all that a pattern matches begins with; all of the pattern if it matches nothing else.
func globPrefix(pattern string) string {
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// globOne matches one byte against the element at the head of pattern, and returns its width.
func globOne(pattern string, c byte, fold bool) (width int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	switch {
	case pattern[0] == '?':
		return 1, true
	case pattern[0] == '[':
		return globClass(pattern, c, fold)
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, same(pattern[1], c, fold)
	}
	return 1, same(pattern[0], c, fold)
}

// globClass matches "[…]". A class without its bracket ends with the pattern, as in Redis.
func globClass(pattern string, c byte, fold bool) (width int, ok bool) {
	i, match := 1, false
	not := i < len(pattern) && pattern[i] == '^'
	if not {
		i++
	}
	for ; i < len(pattern) && pattern[i] != ']'; i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			match = match || same(pattern[i], c, fold)
		case i+2 < len(pattern) && pattern[i+1] == '-':
			match = match || between(pattern[i], c, pattern[i+2], fold)
			i += 2
		default:
			match = match || same(pattern[i], c, fold)
		}
	}
	return min(i+1, len(pattern)), match != not
}

func between(low, c, high byte, fold bool) bool {
	if low > high {
		low, high = high, low
	}
	if fold {
		low, c, high = lowerByte(low), lowerByte(c), lowerByte(high)
	}
	return low <= c && c <= high
}

func same(a, b byte, fold bool) bool {
	if fold {
		return lowerByte(a) == lowerByte(b)
	}
	return a == b
}
