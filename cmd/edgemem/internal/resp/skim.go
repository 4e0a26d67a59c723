package resp

import (
	"bytes"
	"strconv"
)

// skimDepthMax bounds how deeply replies of a holder nest.
const skimDepthMax = 16

// replies counts the replies that a holder gave; ok is false where they are not whole. A client that was given more or fewer than it has sent commands
// would take each for the answer to another one.
func replies(b []byte) (n int, ok bool) {
	for len(b) > 0 {
		beside := b[0] == '>' || b[0] == '|' // a push or an attribute
		if b, ok = skim(b, 0); !ok {
			return n, false
		}
		if !beside {
			n++
		}
	}
	return n, true
}

// skim passes over one reply.
func skim(b []byte, depth int) (rest []byte, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 2 || b[end-1] != '\r' || depth > skimDepthMax {
		return nil, false
	}
	kind, line := b[0], b[1:end-1]
	rest = b[end+1:]
	switch kind {
	case '+', '-', ':', ',', '#', '(', '_':
		return rest, true
	}
	size, err := strconv.Atoi(string(line))
	if err != nil || size < -1 || size > len(rest) {
		return nil, false
	}
	switch kind {
	case '$', '=', '!':
		if size < 0 {
			return rest, true
		}
		if !bytes.HasPrefix(rest[size:], []byte("\r\n")) {
			return nil, false
		}
		return rest[size+2:], true
	case '%', '|':
		size *= 2
	case '*', '~', '>':
	default:
		return nil, false
	}
	for ; size > 0; size-- {
		if rest, ok = skim(rest, depth+1); !ok {
			return nil, false
		}
	}
	return rest, true
}
