package resp

import "strconv"

// partMakers make commands on parts of strings.
func (m maker) partMakers(line func(string, ...string) []string) []func() []string {
	return []func() []string{
		func() []string { return line(m.pick("getrange", "substr"), m.key(), m.index(), m.index()) },
		func() []string { return line("setrange", m.key(), m.offset(), m.pick("", "v", "abc\r\n")) },
		func() []string { return append(line("lcs", m.key(), m.key()), m.lcsOptions()...) },
		func() []string { return line("setbit", m.key(), m.offset(), m.pick("0", "1", "1", "2", "-1", "x")) },
		func() []string { return line("getbit", m.key(), m.offset()) },
		func() []string { return append(line("bitcount", m.key()), m.bitRange(3)...) },
		func() []string {
			return append(line("bitpos", m.key(), m.pick("0", "1", "1", "2", "x")), m.bitRange(2)...)
		},
		func() []string {
			return append(line("bitop", m.pick("and", "OR", "xor", "not", "nand"), m.key()), m.several(3, m.key)...)
		},
		func() []string { return append(line("bitfield", m.key()), m.fieldOps()...) },
		func() []string { return append(line("bitfield_ro", m.key()), m.fieldOps()...) },
	}
}

// setMakers make commands over several sets, and random picks of which the outcome can be told.
func (m maker) setMakers(line func(string, ...string) []string) []func() []string {
	return []func() []string{
		func() []string { return append(line(m.pick("sinter", "sunion", "sdiff")), m.several(4, m.key)...) },
		func() []string {
			return append(line(m.pick("sinterstore", "sunionstore", "sdiffstore"), m.key()), m.several(3, m.key)...)
		},
		func() []string {
			keys := m.several(3, m.key)
			n := m.pick(strconv.Itoa(len(keys)), strconv.Itoa(len(keys)), "0", "9", "-1", "x")
			return append(append(line("sintercard", n), keys...), m.cardLimit()...)
		},
		func() []string { return line("smove", m.key(), m.key(), m.member()) },
		func() []string { return line("spop", m.key(), m.pick("100", "0", "-1", "x", "9223372036854775807")) },
		func() []string {
			return append(line("srandmember", m.key()), m.upTo(1, m.number)...)
		},
		func() []string {
			return append(append(line("hrandfield", m.key()), m.upTo(1, m.number)...), m.upTo(1, func() string { return m.pick("withvalues", "WITHVALUES", "bad") })...)
		},
	}
}

// keyMakers make commands on keys as such.
func (m maker) keyMakers(line func(string, ...string) []string) []func() []string {
	return []func() []string{
		func() []string { return line(m.pick("rename", "renamenx"), m.key(), m.key()) },
		func() []string {
			return append(line("copy", m.key(), m.key()), m.upTo(2, func() string { return m.pick("replace", "REPLACE", "bad", "db") })...)
		},
		func() []string { return line("copy", m.key(), m.key(), "db", m.pick("0", "x", "-1")) },
		func() []string { return append(line("touch", m.key()), m.several(2, m.key)...) },
		func() []string { return line("object", m.pick("freq", "refcount", "encoding", "nope"), "missing") },
		func() []string { return line("object", "freq", m.key()) },
		func() []string { return append(line(m.pick("sort", "sort_ro"), m.key()), m.sortOptions()...) },
		func() []string { return line("dump", "missing") },
		func() []string {
			return append(line("memory", "usage", "missing"), m.upTo(2, func() string { return m.pick("samples", "5", "-1", "x") })...)
		},
		func() []string {
			return append(line("acl", m.pick("whoami", "users", "getuser", "list")), m.upTo(1, m.text)...)
		},
		func() []string { return line("acl", "cat", m.pick("nothing", "x\r\ny")) },
	}
}

func (m maker) upTo(n int, one func() string) (out []string) {
	for range m.r.IntN(n + 1) {
		out = append(out, one())
	}
	return out
}

func (m maker) index() string {
	return m.pick("0", "1", "2", "5", "-1", "-3", "-100", "100", "x", "9223372036854775807", "-9223372036854775808")
}

func (m maker) offset() string {
	return m.pick("0", "1", "7", "8", "20", "100", "-1", "x", "8388608", "9223372036854775807")
}

func (m maker) bitRange(least int) []string {
	out := []string{}
	for range m.r.IntN(least + 1) {
		out = append(out, m.index())
	}
	if len(out) == 2 && m.r.IntN(2) == 0 {
		out = append(out, m.pick("BIT", "byte", "bits"))
	}
	return out
}

func (m maker) lcsOptions() (out []string) {
	for range m.r.IntN(4) {
		switch m.r.IntN(8) {
		case 0:
			out = append(out, "len")
		case 1, 2, 3:
			out = append(out, "IDX")
		case 4, 5:
			out = append(out, "MINMATCHLEN", m.pick("0", "2", "4", "-3", "x"))
		case 6:
			out = append(out, "withmatchlen")
		case 7:
			out = append(out, m.pick("bad", "minmatchlen"))
		}
	}
	return out
}

func (m maker) fieldOps() (out []string) {
	for range m.r.IntN(4) {
		kind := m.pick("u1", "i1", "u8", "i8", "i5", "u4", "i16", "u63", "i64", "u64", "i65", "x8", "i0", "")
		at := m.pick("0", "#1", "3", "#2", "9", "64", "#-1", "x", "8388608")
		value := m.pick("0", "1", "-1", "100", "255", "-129", "9223372036854775807", "-9223372036854775808", "x")
		switch m.r.IntN(9) {
		case 0, 1, 2:
			out = append(out, "get", kind, at)
		case 3, 4:
			out = append(out, "SET", kind, at, value)
		case 5, 6:
			out = append(out, "incrby", kind, at, value)
		case 7:
			out = append(out, "overflow", m.pick("wrap", "SAT", "fail", "fail", "bad"))
		case 8:
			out = append(out, m.pick("bad", "get"))
		}
	}
	return out
}

func (m maker) cardLimit() []string {
	return [][]string{nil, nil, {"LIMIT", "1"}, {"limit", "0"}, {"limit", "-1"}, {"limit", "x"}, {"limit"}, {"bad", "1"}}[m.r.IntN(8)]
}

func (m maker) sortOptions() (out []string) {
	for range m.r.IntN(4) {
		switch m.r.IntN(8) {
		case 0:
			out = append(out, m.pick("asc", "DESC", "desc"))
		case 1, 2:
			out = append(out, "alpha")
		case 3:
			out = append(out, "LIMIT", m.pick("0", "1", "-1", "x"), m.pick("2", "0", "-1", "10", "x"))
		case 4:
			out = append(out, "get", m.pick("#", "*", "int:*", "h->f", "*->f", "w_*"))
		case 5:
			return []string{"by", m.pick("w_*", "int:*", "h_*->f")}
		case 6:
			return []string{"by", "nosort", "get", "#"}
		case 7:
			out = append(out, m.pick("bad", "limit", "by", "get", "store"), m.listKey())
		}
	}
	return out
}

// transactionMakers make the frame of transactions. What is queued by chance between them must have one answer, so
// picks and times are left out by command.
func (m maker) transactionMakers(line func(string, ...string) []string) []func() []string {
	return []func() []string{
		func() []string { return line(m.pick("multi", "multi", "exec", "exec", "discard", "unwatch")) },
		func() []string { return line(m.pick("exec", "exec", "discard")) },
		func() []string { return append(line("watch"), m.several(2, m.key)...) },
	}
}
