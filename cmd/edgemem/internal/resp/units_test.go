package resp

import (
	"math"
	"strconv"
	"testing"
)

func TestParseIntIsAsStrictAsRedis(t *testing.T) {
	t.Parallel()
	for _, good := range []int64{0, 1, -1, 9, 10, 123456, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1} {
		if n, ok := parseInt([]byte(strconv.FormatInt(good, 10))); !ok || n != good {
			t.Errorf("%d: %d, %v", good, n, ok)
		}
	}
	for _, bad := range []string{
		"", "-", "+1", "01", "-0", "00", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "-9223372036854775809",
		"18446744073709551616", "99999999999999999999", "-99999999999999999999", "1e3",
	} {
		if n, ok := parseInt([]byte(bad)); ok {
			t.Errorf("%q was read as %d", bad, n)
		}
	}
}

func FuzzParseInt(f *testing.F) {
	for _, s := range []string{"0", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-0", "00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseInt([]byte(s))
		if ok && strconv.FormatInt(n, 10) != s {
			t.Fatalf("%q was read as %d", s, n)
		}
		if m, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(m, 10) == s && (!ok || n != m) {
			t.Fatalf("%q: %d, %v", s, n, ok)
		}
	})
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"*", "abc", true}, {"", "", true}, {"", "a", false},
		{"h?llo", "hello", true}, {"h?llo", "hllo", false}, {"h*llo", "hllo", true}, {"h*llo", "heeeello", true},
		{"h[ae]llo", "hallo", true}, {"h[ae]llo", "hillo", false}, {"h[^e]llo", "hallo", true}, {"h[^e]llo", "hello", false},
		{"h[a-b]llo", "hbllo", true}, {"h[b-a]llo", "hallo", true}, {"h[a-b]llo", "hcllo", false},
		{`\*`, "*", true}, {`\*`, "a", false}, {`a\`, `a\`, true}, {`[\]]`, "]", true}, {"[", "[", false}, {"[a", "a", true},
		{"a*b*c", "aXXbYYc", true}, {"a*b*c", "aXXcYYb", false}, {"*a", "bbba", true}, {"**", "x", true}, {"a*", "b", false},
	} {
		if got := globMatch(tc.pattern, tc.text, false); got != tc.want {
			t.Errorf("%q on %q: %v", tc.pattern, tc.text, got)
		}
	}
	if !globMatch("GET*", "getex", true) || globMatch("GET*", "getex", false) {
		t.Error("folding of case")
	}
}

// A pattern of many stars on a text that nearly matches must not take exponential time.
func TestGlobIsBounded(t *testing.T) {
	t.Parallel()
	pattern, text := "", ""
	for range 50 {
		pattern += "a*"
		text += "aaaaaaaaaa"
	}
	if globMatch(pattern+"b", text, false) {
		t.Fatal("matched")
	}
}

func TestInlineSplitting(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		line string
		want []string
		bad  bool
	}{
		{line: "PING\r\n", want: []string{"PING"}},
		{line: "  SET  a\tb \r\n", want: []string{"SET", "a", "b"}},
		{line: "\r\n"},
		{line: `SET a "b c\n\x41\"" 'd \' e'` + "\n", want: []string{"SET", "a", "b c\nA\"", "d ' e"}},
		{line: `SET a ""` + "\r\n", want: []string{"SET", "a", ""}},
		{line: `SET a "b` + "\r\n", bad: true},
		{line: `SET a "b"c` + "\r\n", bad: true},
		{line: `SET a 'b` + "\r\n", bad: true},
	} {
		got, err := splitInline([]byte(tc.line), nil)
		if (err != nil) != tc.bad || !equalText(got, tc.want) {
			t.Errorf("%q: %q, %v", tc.line, got, err)
		}
	}
}

func TestWriterSpeaksBothProtocols(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		write        func(w *writer)
		resp2, resp3 string
	}{
		{"null", (*writer).null, "$-1\r\n", "_\r\n"},
		{"null array", (*writer).nullArray, "*-1\r\n", "_\r\n"},
		{"map", func(w *writer) { w.mapOf(2) }, "*4\r\n", "%2\r\n"},
		{"set", func(w *writer) { w.setOf(2) }, "*2\r\n", "~2\r\n"},
		{"array", func(w *writer) { w.array(2) }, "*2\r\n", "*2\r\n"},
		{"true", func(w *writer) { w.boolean(true) }, ":1\r\n", "#t\r\n"},
		{"false", func(w *writer) { w.boolean(false) }, ":0\r\n", "#f\r\n"},
		{"double", func(w *writer) { w.double(1.5) }, "$3\r\n1.5\r\n", ",1.5\r\n"},
		{"infinity", func(w *writer) { w.double(math.Inf(-1)) }, "$4\r\n-inf\r\n", ",-inf\r\n"},
		{"big number", func(w *writer) { w.bigNumber("12345678901234567890") }, "$20\r\n12345678901234567890\r\n", "(12345678901234567890\r\n"},
		{"text", func(w *writer) { w.verbatim("a\n") }, "$2\r\na\n\r\n", "=6\r\ntxt:a\n\r\n"},
		{"error", func(w *writer) { w.fail("ERR a\r\n+OK") }, "-ERR a  +OK\r\n", "-ERR a  +OK\r\n"},
		{"integer", func(w *writer) { w.int(math.MinInt64) }, ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"},
	} {
		for resp3, want := range map[bool]string{false: tc.resp2, true: tc.resp3} {
			w := &writer{limitBytes: 1 << 10, resp3: resp3}
			w.begin()
			if tc.write(w); string(w.buf) != want {
				t.Errorf("%s, RESP3 %v: %q, want %q", tc.name, resp3, w.buf, want)
			}
		}
	}
}

func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	table := newTable()
	for _, cmd := range table.listed {
		for _, one := range append([]*command{cmd}, cmd.toldSubs()...) {
			checkCommand(t, one)
		}
	}
	if cmd := table.find([]byte("GeT")); cmd == nil || cmd.name != "get" {
		t.Error("lookup depends on case")
	}
}

func checkCommand(t *testing.T, cmd *command) {
	t.Helper()
	ways := 0
	for _, set := range []bool{cmd.run != nil, cmd.read != nil, cmd.write != nil, cmd.subs != nil && cmd.run == nil} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		t.Errorf("%s has %d ways to run", cmd.name, ways)
	}
	for what, missing := range map[string]bool{
		"arity": cmd.arity == 0, "group": cmd.group == "", "since": cmd.since == "", "cost": cmd.cost == "", "summary": cmd.summary == "",
		"write flag": (cmd.write != nil) != (cmd.is&flagWrite != 0) && cmd.is&flagBlocks == 0 && cmd.name != "flushall" && cmd.name != "em.bound|give" && cmd.group != "scripting",
	} {
		if missing {
			t.Errorf("%s: %s", cmd.name, what)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table, name := newTable(), []byte("HGETALL")
	if n := testing.AllocsPerRun(100, func() { _ = table.find(name) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestHumanSizes(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1.00K", 1336544: "1.27M", 25276502016: "23.54G"} {
		if got := human(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
