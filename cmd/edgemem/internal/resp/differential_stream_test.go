package resp

import "testing"

func (m maker) streamKey() string {
	return m.pick("st:1", "st:1", "st:1", "st:2", "st:2", "st:3", "a", "none")
}

// streamID is an id as clients may write it. New ids of the clock are left out: the two servers have their own.
func (m maker) streamID() string {
	return m.pick("1", "2", "3-1", "3-2", "4", "4-0", "5-7", "6-1", "7-3", "8", "9-9", "10-0", "11", "0-1", "0-0", "0", "3-*", "4-*", "9-*", "12-*",
		"18446744073709551615-18446744073709551615", "18446744073709551615", "18446744073709551616", "-", "+", "x", "1-x", "-1", "1-", "", "007-01", " 5", "+6-1", "5-+1", "1-2-3", "$", ">", "*5",
		"3\x00-5", "1--1")
}

func (m maker) rangeEnd() string {
	return m.pick("-", "+", "-", "+", "(", "(-", "(+", "("+m.streamID(), m.streamID(), m.streamID())
}

func (m maker) trimOptions() (out []string) {
	for range m.r.IntN(3) * m.r.IntN(2) {
		switch m.r.IntN(5) {
		case 0, 1:
			out = append(out, append([]string{m.pick("MAXLEN", "maxlen")}, m.pickList([]string{"~"}, []string{"="}, nil, nil)...)...)
			out = append(out, m.pick("0", "1", "3", "5", "100", "-1", "x"))
		case 2:
			out = append(out, append([]string{m.pick("MINID", "minid")}, m.pickList([]string{"~"}, []string{"="}, nil, nil)...)...)
			out = append(out, m.streamID())
		case 3:
			out = append(out, "LIMIT", m.pick("0", "5", "1000", "-1", "x"))
		default:
			out = append(out, m.pick("nomkstream", "bad"))
		}
	}
	return out
}

func (m maker) streamFields() []string {
	n := []int{2, 2, 2, 4, 6, 1, 0}[m.r.IntN(7)]
	out := make([]string, n)
	for i := range out {
		out[i] = m.pick("f", "g", "v", "", "x\r\ny", "long value of some bytes")
	}
	return out
}

// streamMakers make commands on streams.
func (m maker) streamMakers(line func(string, ...string) []string) []func() []string {
	add := func() []string {
		return append(append(append(line("xadd", m.streamKey()), m.trimOptions()...), m.streamID()), m.streamFields()...)
	}
	count := func() []string { return m.upToPair("COUNT", "0", "1", "2", "-1", "x", "100") }
	return []func() []string{
		add, add, add, add,
		func() []string { return line("xadd", m.streamKey(), m.pick("1-*", "5-*", "8-*", "9-*"), "f", "v") },
		func() []string { return line("xadd", m.streamKey(), m.pick("1-*", "5-*", "8-*", "9-*"), "f", "v") },
		func() []string { return line("xlen", m.streamKey()) },
		func() []string { return append(line("xrange", m.streamKey(), m.rangeEnd(), m.rangeEnd()), count()...) },
		func() []string {
			return append(line("xrevrange", m.streamKey(), m.rangeEnd(), m.rangeEnd()), count()...)
		},
		func() []string { return line("xrange", m.streamKey(), "-", "+") },
		func() []string { return append(line("xdel", m.streamKey()), m.several(3, m.streamID)...) },
		func() []string { return append(line("xtrim", m.streamKey()), m.trimOptions()...) },
		func() []string { return line("xtrim", m.streamKey(), "maxlen", m.pick("0", "1", "2", "3")) },
		func() []string {
			return append(append(line("xsetid", m.streamKey(), m.streamID()), m.upToPair("ENTRIESADDED", "0", "3", "30", "-1", "x")...), m.upToPair("maxdeletedid", "1", "5-5", "x", "0-0")...)
		},
		func() []string {
			return append(line("xinfo", "stream", m.streamKey()), m.pickList(nil, nil, []string{"full"}, []string{"FULL", "count", "2"}, []string{"full", "count", "0"}, []string{"bad"}, []string{"full", "x", "1"}, []string{"full", "count", "-1"})...)
		},
		func() []string { return line("xinfo", m.pick("groups", "nope"), m.streamKey()) },
		func() []string { return line("xinfo", "consumers", m.streamKey(), "g") },
		func() []string {
			keys := m.several(3, m.streamKey)
			out := append(line("xread", count()...), m.upToPair("block", "1", "1", "x", "-1")...)
			out = append(append(out, m.pick("STREAMS", "streams", "STREAMS", "streams", "stream", "noack", "group")), keys...)
			for range keys {
				id := m.streamID()
				if id == "+" { // of Redis 7.4
					id = "$"
				}
				out = append(out, id)
			}
			return out
		},
		func() []string {
			return line("xread", "count", m.pick("1", "2"), "streams", m.pick("st:1", "st:2"), m.pick("0", "1-1", "5-1", "5-2", "8-0", "9-0"))
		},
		func() []string {
			return line(m.pick("del", "type", "persist", "ttl", "exists", "get"), m.streamKey())
		},
		func() []string { return line("expire", m.streamKey(), "1000") },
		func() []string { return line(m.pick("copy", "rename", "renamenx"), m.streamKey(), m.streamKey()) },
	}
}

// upToPair is an option and its value, or nothing.
func (m maker) upToPair(word string, values ...string) []string {
	if m.r.IntN(3) > 0 {
		return nil
	}
	return []string{word, m.pick(values...)}
}

func TestStreamsAsRedisDoes(t *testing.T) {
	t.Parallel()
	asRedisDoes(t, func(b *both, m maker) {
		makers := m.streamMakers(func(name string, rest ...string) []string { return append([]string{m.cased(name)}, rest...) })
		batch := make([][]string, differentialBatch)
		for i := range batch {
			batch[i] = makers[m.r.IntN(len(makers))]()
		}
		for _, key := range []string{"st:1", "st:2", "st:3"} {
			batch = append(batch, []string{"xrange", key, "-", "+"}, []string{"xinfo", "stream", key})
		}
		b.run(batch)
	})
}
