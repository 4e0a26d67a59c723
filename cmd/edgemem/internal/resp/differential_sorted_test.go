package resp

import "strconv"

// score is a number, now and then none. It is not -0, of which Redis forgets the sign by how it keeps a set.
func (m maker) score() string {
	return m.pick("1", "2", "-3", "0.1", "0.2", "2.5", "1e3", "1e-7", "1e300", "inf", "-inf", "0", "3.0000000000000004", "x", "",
		"nan", "0x10", "+5", ".5", "5.", "1e999", "1e-999", "17179869184.25", "1e17", "123456789012345678")
}

// nice scores have exact sums.
func (m maker) niceScore() string { return m.pick("1", "2", "-3", "0.5", "0.25", "100", "7") }

// sortedKey is a key that mostly holds a sorted set.
func (m maker) sortedKey() string { return m.pick("z:1", "z:1", "z:2", "z:2", "z:3", "a", "key:1") }

// lexKey is a key of a sorted set whose members all have one score: of others Redis says that ranges of names are unspecified.
func (m maker) lexKey() string { return m.pick("z:lex", "z:lex", "z:lex", "z:none", "int:1") }

func (m maker) scoreBound() string {
	return m.pick("-inf", "+inf", "inf", "0", "1", "(1", "2.5", "(2.5", "-3", "(-inf", "(inf", "", "(", " 1", "x", "(x", "1e3", "0.1")
}

func (m maker) nameBound() string {
	return m.pick("-", "+", "[m", "(m", "[n", "(o", "[", "(", "[-5", "(2", "[zzz", "m", "", "+x", "-x")
}

func (m maker) withScores() []string {
	return m.upTo(1, func() string { return m.pick("WITHSCORES", "withscores", "withscores", "bad") })
}

func (m maker) limit() []string {
	return [][]string{nil, nil, {"LIMIT", "0", "2"}, {"limit", "1", "-1"}, {"limit", "-1", "2"}, {"limit", "0", "x"}, {"limit", "1"}, {"limit", "0", "-1"}, {"limit", "9", "9"}}[m.r.IntN(9)]
}

// manySources are keys with their number before them, now and then a wrong one.
func (m maker) manySources() (out []string, n int) {
	keys := m.several(3, m.sortedKey)
	if m.r.IntN(4) == 0 {
		keys[0] = m.key()
	}
	number := strconv.Itoa(len(keys))
	if m.r.IntN(12) == 0 {
		number = m.pick("0", "-1", "x", "99")
	}
	return append([]string{number}, keys...), len(keys)
}

func (m maker) combining(n int) (out []string) {
	if m.r.IntN(3) == 0 {
		out = append(out, "WEIGHTS")
		for range n {
			out = append(out, m.pick("1", "2", "0.5", "-1", "0", "1", "inf", "x"))
		}
	}
	if m.r.IntN(3) == 0 {
		out = append(out, "aggregate", m.pick("SUM", "min", "MAX", "avg"))
	}
	return out
}

// sortedMakers make commands on sorted sets.
func (m maker) sortedMakers(line func(string, ...string) []string) []func() []string {
	pairs := func(score func() string) (out []string) {
		for range 1 + m.r.IntN(3) {
			out = append(out, score(), m.member())
		}
		return out
	}
	options := func() []string {
		return m.upTo(2, func() string { return m.pick("NX", "XX", "GT", "LT", "CH", "INCR", "ch", "gt") })
	}
	sources := func(name string, before, options, after []string) []string {
		keys, n := m.manySources()
		args := append(append(line(name, before...), keys...), options...)
		if options == nil {
			args = append(args, m.combining(n)...)
		}
		return append(args, after...)
	}
	none := []string{}
	makers := []func() []string{
		func() []string { return append(line("zadd", m.sortedKey()), pairs(m.score)...) },
		func() []string { return append(line("zadd", m.sortedKey()), pairs(m.niceScore)...) },
		func() []string { return append(line("zadd", m.sortedKey()), pairs(m.niceScore)...) },
		func() []string { return append(append(line("zadd", m.sortedKey()), options()...), pairs(m.score)...) },
		func() []string {
			return append(append(line("zadd", m.sortedKey()), options()...), m.score(), m.member())
		},
		func() []string {
			return append(line("zadd", m.lexKey()), "0", m.member(), "0", m.member(), "0", m.member())
		},
		func() []string { return line("zincrby", m.sortedKey(), m.score(), m.member()) },
		func() []string { return append(line("zrem", m.sortedKey()), m.several(3, m.member)...) },
		func() []string { return line(m.pick("zscore", "zrank", "zrevrank"), m.sortedKey(), m.member()) },
		func() []string { return append(line("zmscore", m.sortedKey()), m.several(3, m.member)...) },
		func() []string { return line("zcard", m.sortedKey()) },
		func() []string { return line("zcount", m.sortedKey(), m.scoreBound(), m.scoreBound()) },
		func() []string { return line("zlexcount", m.lexKey(), m.nameBound(), m.nameBound()) },
		func() []string {
			return append(line(m.pick("zrange", "zrevrange"), m.sortedKey(), m.index(), m.index()), m.withScores()...)
		},
		func() []string {
			return append(append(line(m.pick("zrangebyscore", "zrevrangebyscore"), m.sortedKey(), m.scoreBound(), m.scoreBound()), m.withScores()...), m.limit()...)
		},
		func() []string {
			return append(line(m.pick("zrangebylex", "zrevrangebylex"), m.lexKey(), m.nameBound(), m.nameBound()), m.limit()...)
		},
		func() []string {
			return append(append(append(line("zrange", m.sortedKey(), m.scoreBound(), m.scoreBound(), "BYSCORE"), m.upTo(1, func() string { return m.pick("REV", "rev", "bylex") })...), m.limit()...), m.withScores()...)
		},
		func() []string {
			return append(append(append(line("zrange", m.lexKey(), m.nameBound(), m.nameBound(), "bylex"), m.upTo(1, func() string { return m.pick("REV", "rev", "byscore") })...), m.limit()...), m.upTo(1, func() string { return m.pick("withscores", "bad") })...)
		},
		func() []string {
			return append(append(line("zrange", m.sortedKey(), m.index(), m.index()), m.upTo(1, func() string { return "REV" })...), m.limit()...)
		},
		func() []string {
			return append(append(line("zrangestore", m.sortedKey(), m.sortedKey(), m.scoreBound(), m.scoreBound(), "byscore"), m.upTo(1, func() string { return m.pick("REV", "withscores") })...), m.limit()...)
		},
		func() []string { return line("zrangestore", m.sortedKey(), m.sortedKey(), m.index(), m.index()) },
		func() []string { return line("zremrangebyrank", m.sortedKey(), m.index(), m.index()) },
		func() []string { return line("zremrangebyscore", m.sortedKey(), m.scoreBound(), m.scoreBound()) },
		func() []string { return line("zremrangebylex", m.lexKey(), m.nameBound(), m.nameBound()) },
		func() []string {
			return append(line(m.pick("zpopmin", "zpopmax"), m.sortedKey()), m.upTo(1, m.number)...)
		},
		func() []string {
			keys, _ := m.manySources()
			return append(append(append(line("zmpop"), keys...), m.pick("MIN", "max", "min", "bad")), m.upTo(2, func() string { return m.pick("COUNT", "count", "2", "0", "x") })...)
		},
		func() []string {
			keys, _ := m.manySources()
			return append(append(append(line("zmpop"), keys...), m.pick("MIN", "max")), "count", m.pick("1", "2", "0", "-1", "x"))
		},
		func() []string { return sources(m.pick("zunion", "zinter"), nil, nil, m.withScores()) },
		func() []string { return sources("zdiff", nil, none, m.withScores()) },
		func() []string {
			return sources(m.pick("zunionstore", "zinterstore"), []string{m.sortedKey()}, nil, nil)
		},
		func() []string { return sources("zdiffstore", []string{m.sortedKey()}, none, nil) },
		func() []string { return sources("zintercard", nil, none, m.cardLimit()) },
		func() []string {
			return append(append(line("zrandmember", m.sortedKey()), m.upTo(1, m.number)...), m.withScores()...)
		},
		func() []string { return append(line("zscan", "missing", "0"), m.badScanOptions()...) },
	}
	return makers
}
