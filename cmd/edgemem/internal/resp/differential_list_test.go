package resp

import "strconv"

// listKey is a key that mostly holds a list.
func (m maker) listKey() string { return m.pick("l:1", "l:1", "l:1", "l:2", "l:2", "l:3", "a") }

func (m maker) element() string { return m.pick("a", "b", "c", "a", "", "x\r\ny", "10", "3") }

func (m maker) listEnd() string { return m.pick("LEFT", "right", "left", "RIGHT", "up") }

// listMakers make commands on lists.
func (m maker) listMakers(line func(string, ...string) []string) []func() []string {
	posOptions := func() (out []string) {
		for range m.r.IntN(3) {
			out = append(out, m.pick("RANK", "count", "MAXLEN", "bad"), m.pick("1", "2", "-1", "0", "3", "-2", "x"))
		}
		return out
	}
	return []func() []string{
		func() []string {
			return append(line(m.pick("rpush", "lpush"), m.listKey()), m.several(4, m.element)...)
		},
		func() []string {
			return append(line(m.pick("rpush", "lpush"), m.listKey()), m.several(4, m.element)...)
		},
		func() []string {
			return append(line(m.pick("rpushx", "lpushx"), m.listKey()), m.several(3, m.element)...)
		},
		func() []string { return append(line(m.pick("rpop", "lpop"), m.listKey()), m.upTo(1, m.number)...) },
		func() []string { return line("llen", m.listKey()) },
		func() []string { return line("lrange", m.listKey(), m.index(), m.index()) },
		func() []string { return line("lrange", m.listKey(), "0", "-1") },
		func() []string { return line("lindex", m.listKey(), m.index()) },
		func() []string { return line("lset", m.listKey(), m.index(), m.element()) },
		func() []string {
			return line("linsert", m.listKey(), m.pick("before", "AFTER", "after", "beside"), m.element(), m.element())
		},
		func() []string { return line("lrem", m.listKey(), m.index(), m.element()) },
		func() []string { return line("ltrim", m.listKey(), m.index(), m.index()) },
		func() []string { return append(line("lpos", m.listKey(), m.element()), posOptions()...) },
		func() []string { return line("lmove", m.listKey(), m.listKey(), m.listEnd(), m.listEnd()) },
		func() []string { return line("rpoplpush", m.listKey(), m.listKey()) },
		func() []string {
			keys := m.several(3, m.listKey)
			return append(append(line("lmpop", m.pick(strconv.Itoa(len(keys)), strconv.Itoa(len(keys)), "0", "x", "9")), keys...), append([]string{m.listEnd()}, m.upTo(2, func() string { return m.pick("count", "2", "1", "0", "x") })...)...)
		},
	}
}
