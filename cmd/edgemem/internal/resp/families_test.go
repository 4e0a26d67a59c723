package resp

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestRenamesAndCopies(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want(":2", "HSET", "h", "f", "1", "g", "2")
	p.want(":5", "HINCRBY", "h", "f", "4")
	p.want(":1", "PEXPIREAT", "h", "4000000000000")
	p.want("+OK", "SET", "old", "x")
	p.want(":1", "COPY", "h", "i")
	p.want("+OK", "RENAME", "h", "old")
	p.want(":0", "EXISTS", "h")
	for _, key := range []string{"i", "old"} {
		p.want("+hash", "TYPE", key)
		p.want(`*["5" "2"]`, "HMGET", key, "f", "g")
		p.want(":4000000000000", "PEXPIRETIME", key)
	}
	p.want(":6", "HINCRBY", "old", "f", "1")
	p.want(`"5"`, "HGET", "i", "f")
	p.want(":0", "RENAMENX", "i", "old")
	p.want(":1", "RENAMENX", "i", "new")
	p.want(":0", "COPY", "new", "old", "DB", "0")
	p.want("-ERR 'copy' to another database not supported by edgemem: regions are apart from each other; read from one and write to the other", "COPY", "new", "other", "DB", "1")
}

// Every member has the same chance, whether the set is small, or large and much of it is wanted, or little.
func TestRandomPicksAreFair(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	for _, tc := range []struct {
		name        string
		size, count int
		rounds      int
	}{{"one of few", 10, 1, 4000}, {"half", 100, 50, 200}, {"a few of many", 5000, 4, 2500}, {"repeated", 10, -40, 100}, {"few repeated of many", 5000, -4, 2500}} {
		var add strings.Builder
		for i := range tc.size {
			add.WriteString(" m" + strconv.Itoa(i))
		}
		p.do("DEL", "s")
		p.want(":"+strconv.Itoa(tc.size), append([]string{"SADD", "s"}, strings.Fields(add.String())...)...)
		seen, total := map[string]int{}, 0
		for range tc.rounds {
			reply := p.do("SRANDMEMBER", "s", strconv.Itoa(tc.count))
			once := map[string]bool{}
			for _, item := range reply.items {
				if tc.count > 0 && once[item.text] {
					t.Fatalf("%s: %s twice", tc.name, item.text)
				}
				once[item.text] = true
				seen[item.text]++
				total++
			}
			if want := max(tc.count, -tc.count); len(reply.items) != want {
				t.Fatalf("%s: %d members, want %d", tc.name, len(reply.items), want)
			}
		}
		// By halves, so that a member's own share may vary: the first half must have half of the picks, within 10 %.
		first := 0
		for i := range tc.size / 2 {
			first += seen["m"+strconv.Itoa(i)]
		}
		if share := float64(first) / float64(total); share < 0.45 || share > 0.55 {
			t.Errorf("%s: the first half has %.3f of %d picks", tc.name, share, total)
		}
		if len(seen) < tc.size*3/5 {
			t.Errorf("%s: only %d of %d members were ever picked", tc.name, len(seen), tc.size)
		}
	}
}

func TestPopsTakeWhatTheyReturn(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	left := map[string]bool{}
	for i := range 1000 {
		name := strconv.Itoa(i)
		left[name] = true
		p.do("SADD", "s", name)
	}
	take := func(items ...value) {
		for _, item := range items {
			if !left[item.text] {
				t.Fatalf("%s was popped before, or never there", item.text)
			}
			delete(left, item.text)
		}
	}
	take(p.do("SPOP", "s"))
	take(p.do("SPOP", "s", "3").items...)
	take(p.do("SPOP", "s", "500").items...)
	if got := p.do("SCARD", "s").text; got != strconv.Itoa(len(left)) || len(left) != 496 {
		t.Fatalf("%s members are left, %d expected", got, len(left))
	}
	take(p.do("SPOP", "s", "9999").items...)
	p.want(":0", "EXISTS", "s")
	p.want("nil", "SPOP", "s")
	p.want("-ERR value is out of range: at most 1048576 random picks at once", "SRANDMEMBER", "s", "-1048577")
}

func TestRandomKeyIsAKey(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("nil", "RANDOMKEY")
	seen := map[string]bool{}
	for i := range 20 {
		p.do("SET", "k"+strconv.Itoa(i), "v")
	}
	for range 1000 {
		seen[p.do("RANDOMKEY").text] = true
	}
	if len(seen) != 20 || !seen["k0"] {
		t.Errorf("of 20 keys %d came in 1,000 picks", len(seen))
	}
}

func TestSortsByOtherKeys(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want(":4", "SADD", "s", "a", "b", "c", "d")
	p.want("+OK", "MSET", "w_a", "3", "w_b", "1", "w_c", "2", "n_a", "x", "n_b", "z", "n_c", "y")
	p.want(":1", "HSET", "h_a", "f", "field of a")
	p.want(`*["d" "b" "c" "a"]`, "SORT", "s", "BY", "w_*")
	p.want(`*["b" "c" "a" "d"]`, "SORT", "s", "BY", "n_*", "ALPHA", "DESC")
	p.want(`*["a" "field of a" nil]`, "SORT", "s", "BY", "w_*", "DESC", "LIMIT", "0", "1", "GET", "#", "GET", "h_*->f", "GET", "nothing")
	p.want("-ERR One or more scores can't be converted into double", "SORT", "s")
	p.want(`*["s" "out"]`, "COMMAND", "GETKEYS", "SORT", "s", "STORE", "x", "LIMIT", "0", "1", "STORE", "out")
}

// The bounds of what one command may make: the reply, the transient table of LCS, a stored result, a value.
func TestLargeResultsAreRefused(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(c *Config) { c.Limits.ReplyBytes = 4096 })
	p := dial(t, addr)
	for i := range 40 {
		p.do("SADD", "s", fmt.Sprintf("%0200d", i))
		p.do("SADD", "t", fmt.Sprintf("%0200d", i+20))
		p.do("SET", fmt.Sprintf("%0200d", i), "v")
	}
	for _, line := range []string{"SUNION s t", "SDIFF s nothing", "SORT s ALPHA", "SPOP s 30", "SRANDMEMBER s -30", "KEYS *"} {
		got := p.do(strings.Fields(line)...)
		if got.kind != '-' || !strings.Contains(got.text, "4096 bytes") {
			t.Errorf("%s: %.100s", line, got)
		}
	}
	if got := p.do("SUNIONSTORE", "out", "s", "t").String(); !strings.HasPrefix(got, "-ERR the result is larger than 4096 bytes") {
		t.Error(got)
	}
	p.want(":0", "EXISTS", "out")
	p.want(":40", "SCARD", "s")
	p.want(":20", "SINTERCARD", "2", "s", "t")
	p.want("+OK", "SET", "a", strings.Repeat("a", 5000))
	p.want("+OK", "SET", "b", strings.Repeat("b", 5000))
	p.want("-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len", "LCS", "a", "b")
	p.want("-ERR string exceeds maximum allowed size (proto-max-bulk-len)", "SETRANGE", "a", "1048576", "x")
	p.want("-ERR bit offset is not an integer or out of range", "SETBIT", "a", "8388608", "1")
	p.want("-ERR string exceeds maximum allowed size (proto-max-bulk-len)", "BITFIELD", "a", "SET", "u8", "8388607", "1")
	p.want(":5000", "STRLEN", "a")
}

// What DUMP gives, a real Redis restores.
func TestRedisRestoresDumps(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	conn, err := net.Dial("unix", redis)
	if err != nil {
		t.Fatal(err)
	}
	p, q := dial(t, addr), newPeer(t, conn)
	long := strings.Repeat("long \r\n\x00", 5000)
	p.want("+OK", "MSET", "short", "v", "empty", "", "middle", long[:300], "long", long)
	p.want(":12", "INCRBY", "number", "12")
	p.want(":3", "SADD", "set", "a", long, "")
	p.want(":3", "HSET", "map", "f", long, "g", "", "h", "1")
	for _, key := range []string{"short", "empty", "middle", "long", "number"} {
		q.want("+OK", "RESTORE", key, "0", p.do("DUMP", key).text)
		if ours, theirs := p.do("GET", key).String(), q.do("GET", key).String(); ours != theirs {
			t.Errorf("%s: %.60s became %.60s", key, ours, theirs)
		}
	}
	for key, list := range map[string]string{"set": "SMEMBERS", "map": "HGETALL"} {
		q.want("+OK", "RESTORE", key, "0", p.do("DUMP", key).text)
		if ours, theirs := texts(p.do(list, key)), texts(q.do(list, key)); !slices.Equal(ours, theirs) {
			t.Errorf("%s differs: %d and %d parts", key, len(ours), len(theirs))
		}
	}
	p.want("nil", "DUMP", "nothing")
}

func texts(v value) []string {
	out := make([]string, len(v.items))
	for i, item := range v.items {
		out[i] = item.text
	}
	slices.Sort(out)
	return out
}

func TestObjectTellsWhatItKnows(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("+OK", "MSET", "i", "12", "e", "text", "r", strings.Repeat("r", 45))
	p.want(":1", "SADD", "s", "1")
	for key, want := range map[string]string{"i": "int", "e": "embstr", "r": "raw", "s": "hashtable"} {
		p.want(strconv.Quote(want), "OBJECT", "ENCODING", key)
	}
	p.want(":1", "OBJECT", "REFCOUNT", "s")
	p.want(":2", "TOUCH", "i", "e", "nothing")
	p.want("-ERR 'object|idletime' not supported by edgemem: when a key was read last is not kept", "OBJECT", "IDLETIME", "i")
}
