package resp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// blockingTimeout is seconds, so short that nobody waits, or wrong. Zero, which is for ever, stands only where there is something to take.
func (m maker) blockingTimeout() string {
	return m.pick("0.001", "0.001", "0.002", "1e-3", "+.001", "-1", "x", "", "nan", "inf", "-0.5", " 1", "1e300", "0x0.01p-3", "9223372036854775807")
}

// blockingMakers make commands that wait, of lists and of sorted sets.
func (m maker) blockingMakers(line func(string, ...string) []string) []func() []string {
	count := func() []string { return m.upToPair("COUNT", "1", "2", "0", "-1", "x") }
	numbered := func(key func() string) []string {
		keys := m.several(3, key)
		n := strconv.Itoa(len(keys))
		return append([]string{m.pick(n, n, n, "0", "-1", "x", "9")}, keys...)
	}
	return []func() []string{
		func() []string {
			return append(append(line(m.pick("blpop", "brpop")), m.several(3, m.listKey)...), m.blockingTimeout())
		},
		func() []string {
			return append(append(line(m.pick("bzpopmin", "bzpopmax")), m.several(3, m.sortedKey)...), m.blockingTimeout())
		},
		func() []string {
			return line("blmove", m.listKey(), m.listKey(), m.listEnd(), m.listEnd(), m.blockingTimeout())
		},
		func() []string { return line("brpoplpush", m.listKey(), m.listKey(), m.blockingTimeout()) },
		func() []string {
			return slices.Concat(line("blmpop", m.blockingTimeout()), numbered(m.listKey), []string{m.listEnd()}, count())
		},
		func() []string {
			return slices.Concat(line("bzmpop", m.blockingTimeout()), numbered(m.sortedKey), []string{m.pick("MIN", "max", "mid")}, count())
		},
	}
}

// TestBlockingAsRedisDoes: commands that wait, of which most find something, on their own and in transactions.
func TestBlockingAsRedisDoes(t *testing.T) {
	t.Parallel()
	asRedisDoes(t, func(b *both, m maker) {
		line := func(name string, rest ...string) []string { return append([]string{m.cased(name)}, rest...) }
		if m.r.IntN(10) > 0 { // each wait takes some milliseconds
			return
		}
		makers := append(m.blockingMakers(line), func() []string { return line("zadd", m.sortedKey(), m.niceScore(), m.member()) },
			func() []string { return append(line("rpush", m.listKey()), m.several(4, m.element)...) },
			func() []string { return append(line("lpush", m.listKey()), m.several(4, m.element)...) },
			func() []string { return line("lrange", m.listKey(), "0", "-1") },
			func() []string { return line("zrange", m.sortedKey(), "0", "-1", "withscores") },
			func() []string { return line(m.pick("multi", "exec", "exec", "discard")) },
			func() []string { return line("set", "a", "text") }, func() []string { return line("del", "a") })
		batch := make([][]string, differentialBatch)
		for i := range batch {
			batch[i] = makers[m.r.IntN(len(makers))]()
			if m.r.IntN(60) == 0 && len(batch[i]) > 1 {
				batch[i] = batch[i][:len(batch[i])-1]
			}
			if waitsLong(batch[i]) {
				batch[i] = []string{"ping"}
			}
		}
		b.run(append(batch, []string{"discard"}))
	})
}

// waitsLong says whether a command, perhaps cut short, might wait for longer than a test does.
func waitsLong(args []string) bool {
	name := strings.ToLower(args[0])
	if !strings.HasPrefix(name, "b") {
		return false
	}
	at := len(args) - 1
	if name == "blmpop" || name == "bzmpop" {
		at = min(1, at)
	}
	seconds, err := strconv.ParseFloat(args[at], 64)
	return err == nil && (seconds == 0 || seconds > 0.01 && seconds < 1e18) // more is out of range
}

// channel is a channel or a pattern.
func (m maker) channel() string {
	return m.pick("news", "news", "new?", "n*", "other", "", "x\r\ny", "[", "n[a-f]ws")
}

// listenCommand is what a client that listens may say, or may not while it does under RESP2.
func (m maker) listenCommand() []string {
	switch m.r.IntN(10) {
	case 0, 1, 2:
		return append([]string{m.cased(m.pick("subscribe", "psubscribe", "ssubscribe"))}, m.several(3, m.channel)...)
	case 3, 4:
		return append([]string{m.pick("unsubscribe", "punsubscribe", "sunsubscribe")}, m.several(3, m.channel)...)
	case 5:
		return []string{m.pick("unsubscribe", "punsubscribe", "sunsubscribe", "subscribe", "psubscribe", "publish", "pubsub", "ssubscribe")}
	case 6:
		return append([]string{"pubsub", m.pick("numsub", "shardnumsub", "channels", "numpat", "nope")}, m.upTo(2, m.channel)...)
	}
	return append([]string{m.pick("get", "del", "nope", "echo", "client", "ping")}, m.upTo(2, m.text)...)
}

// turn sends a command and a PING behind it, and returns what came before the PING's answer, sorted: Redis has no order of
// the channels that a client takes leave of, nor of the listeners' patterns.
func (p *peer) turn(args ...string) string {
	p.t.Helper()
	const token = "end of the turn"
	p.send(encode(args...) + encode("ping", token))
	var out []string
	for {
		v := p.read()
		if v.text == token || len(v.items) == 2 && v.items[0].text == "pong" && v.items[1].text == token {
			slices.Sort(out)
			return strings.Join(out, " ")
		}
		if strings.EqualFold(args[0], "pubsub") {
			v = sorted(v)
		}
		out = append(out, withoutCount(v).String())
	}
}

// sorted is a list of channels in the order of their names.
func sorted(v value) value {
	if len(v.items) > 0 && v.items[0].kind == v.items[len(v.items)-1].kind { // NUMSUB tells counts, in the order of the request
		slices.SortFunc(v.items, func(a, b value) int { return strings.Compare(a.text, b.text) })
	}
	return v
}

// withoutCount leaves the count out of a confirmation that names what was left: it goes with the order.
func withoutCount(v value) value {
	if len(v.items) == 3 && strings.HasSuffix(v.items[0].text, "unsubscribe") {
		v.items = v.items[:2]
	}
	return v
}

// TestMessagesAsRedisDoes: who listens and who publishes, by chance.
func TestMessagesAsRedisDoes(t *testing.T) {
	t.Parallel()
	asRedisDoes(t, func(b *both, m maker) {
		said := dialBoth(t, b.ours.conn.RemoteAddr().String(), b.redis.conn.RemoteAddr().String())
		for range differentialBatch {
			who, args := b, m.listenCommand()
			if m.r.IntN(2) == 0 {
				who, args = said, []string{m.pick("publish", "publish", "spublish"), m.channel(), m.text()}
			}
			b.log = append(b.log, fmt.Sprintf("%.200q", args))
			if ours, redis := who.ours.turn(args...), who.redis.turn(args...); ours != redis {
				t.Fatalf("%q\n edgemem: %s\n redis:   %s\nbefore it:\n%s", args, ours, redis, b.history())
			}
		}
		for _, p := range []*peer{said.ours, said.redis} {
			_ = p.conn.Close()
		}
	})
}
