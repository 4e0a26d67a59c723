package resp

import "github.com/edgemem/edgemem/crdt"

// warm has the processor fetch the entries of the commands of a pipeline before they run one after the other: of the one that is ready and of those
// behind it whose frames are here. Which key a command has, and whether it may run, is found out later; a guess that is wrong costs a few loads.
func (c *client) warm(v *crdt.View, writing bool) {
	if c.tail-c.head < frameLeast || len(c.args) < 2 || !v.WarmPays() {
		return
	}
	var room [crdt.WarmMax][]byte
	v.Warm(peekKeys(c.in[c.head:c.tail], append(room[:0], c.args[1])), writing)
}

// frameLeast is the length of the shortest command with a key: *2, GET and one byte.
const frameLeast = len("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")

// peekArgsMax is the most arguments that a command may have for what is behind it to be looked at.
const peekArgsMax = 8

// peekKeys appends the first argument behind the name of each command in b, up to the capacity of keys. It ends at what is not whole, not an array, or long.
func peekKeys(b []byte, keys [][]byte) [][]byte {
	for len(keys) < cap(keys) {
		n, rest := peekNumber(b, '*')
		if n < 2 || n > peekArgsMax {
			break
		}
		for i := range n {
			var size int
			if size, rest = peekNumber(rest, '$'); size < 0 || size+2 > len(rest) {
				return keys
			}
			if i == 1 {
				keys = append(keys, rest[:size:size])
			}
			rest = rest[size+2:]
		}
		b = rest
	}
	return keys
}

// peekNumber reads a mark, up to seven digits and the end of the line; -1 where b is something else.
func peekNumber(b []byte, mark byte) (n int, rest []byte) {
	if len(b) == 0 || b[0] != mark {
		return -1, nil
	}
	for i := 1; i < min(len(b), 9); i++ {
		switch d := b[i] - '0'; {
		case d <= 9:
			n = 10*n + int(d)
		case b[i] == '\r' && i > 1 && i+2 <= len(b):
			return n, b[i+2:]
		default:
			return -1, nil
		}
	}
	return -1, nil
}
