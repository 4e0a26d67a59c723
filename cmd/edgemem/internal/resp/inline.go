package resp

import "bytes"

// splitInline cuts the line of an inline command into arguments as Redis does: blanks between them,
// "double quotes" with \n \r \t \b \a \xHH escapes, 'single quotes' with \' alone. Arguments are copies.
func splitInline(line []byte, args [][]byte) ([][]byte, error) {
	line, _, _ = bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte{0}) // a zero byte ends the line
	for {
		for len(line) > 0 && isBlank(line[0]) {
			line = line[1:]
		}
		if len(line) == 0 {
			return args, nil
		}
		arg, rest, ok := inlineArgument(line)
		if !ok {
			return nil, protocolError("unbalanced quotes in request")
		}
		args = append(args, arg)
		line = rest
	}
}

// isBlank is C's isspace.
func isBlank(c byte) bool { return c == ' ' || ('\t' <= c && c <= '\r') }

// inlineArgument takes one argument off the head of line.
func inlineArgument(line []byte) (arg, rest []byte, ok bool) {
	arg = []byte{}
	for len(line) > 0 && !isBlank(line[0]) {
		switch c := line[0]; c {
		case '"', '\'':
			arg, line, ok = inlineQuoted(arg, line[1:], c)
			if !ok || (len(line) > 0 && !isBlank(line[0])) {
				return nil, nil, false
			}
			return arg, line, true
		default:
			arg = append(arg, c)
			line = line[1:]
		}
	}
	return arg, line, true
}

// inlineQuoted appends what stands before the closing quote.
func inlineQuoted(arg, line []byte, quote byte) (out, rest []byte, ok bool) {
	for len(line) > 0 {
		switch {
		case line[0] == quote:
			return arg, line[1:], true
		case quote == '"' && isHexEscape(line):
			arg = append(arg, unhex(line[2])<<4|unhex(line[3]))
			line = line[4:]
		case quote == '"' && line[0] == '\\' && len(line) > 1:
			arg = append(arg, unescape(line[1]))
			line = line[2:]
		case quote == '\'' && line[0] == '\\' && len(line) > 1 && line[1] == '\'':
			arg = append(arg, '\'')
			line = line[2:]
		default:
			arg = append(arg, line[0])
			line = line[1:]
		}
	}
	return nil, nil, false
}

func isHexEscape(line []byte) bool {
	return len(line) >= 4 && line[0] == '\\' && line[1] == 'x' && isHex(line[2]) && isHex(line[3])
}

func isHex(c byte) bool {
	c = lowerByte(c)
	return ('0' <= c && c <= '9') || ('a' <= c && c <= 'f')
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lowerByte(c) - 'a' + 10
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}
