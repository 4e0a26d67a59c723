package resp

import (
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// TestJSON: what RedisJSON's documentation shows, and errors. Without a server of it here this is no differential test.
func TestJSON(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	for _, x := range []struct {
		reply string
		line  []string
	}{
		{"+OK", []string{"JSON.SET", "doc", "$", `{"a":2, "b": {"a": 3, "x": [1, "two", null]}, "s": "hi", "t": true}`}},
		{"+ReJSON-RL", []string{"TYPE", "doc"}},
		{`"[2,3]"`, []string{"JSON.GET", "doc", "$..a"}},
		{`"2"`, []string{"JSON.GET", "doc", ".a"}},
		{`"[\"two\"]"`, []string{"JSON.GET", "doc", "$.b.x[1]"}},
		{`"[null]"`, []string{"JSON.GET", "doc", "$.b.x[-1]"}},
		{"nil", []string{"JSON.GET", "none"}},
		{"nil", []string{"JSON.SET", "doc", "$.a", "1", "NX"}},
		{"+OK", []string{"JSON.SET", "doc", "$.a", "5", "XX"}},
		{"+OK", []string{"JSON.SET", "doc", "$.new", `{"k":[]}`}},
		{`"[7.5]"`, []string{"JSON.NUMINCRBY", "doc", "$.a", "2.5"}},
		{`"15.0"`, []string{"JSON.NUMMULTBY", "doc", ".a", "2"}},
		{"*[:3]", []string{"JSON.ARRLEN", "doc", "$.b.x"}},
		{"*[:5]", []string{"JSON.ARRAPPEND", "doc", "$.b.x", `"four"`, "5"}},
		{"*[:6]", []string{"JSON.ARRINSERT", "doc", "$.b.x", "0", "0"}},
		{"*[:2]", []string{"JSON.ARRINDEX", "doc", "$.b.x", `"two"`}},
		{`*["5"]`, []string{"JSON.ARRPOP", "doc", "$.b.x"}},
		{"*[:2]", []string{"JSON.ARRTRIM", "doc", "$.b.x", "1", "2"}},
		{`"[[1,\"two\"]]"`, []string{"JSON.GET", "doc", "$.b.x"}},
		{`*[*["a" "b" "new" "s" "t"]]`, []string{"JSON.OBJKEYS", "doc", "$"}},
		{"*[:5]", []string{"JSON.OBJLEN", "doc", "$"}},
		{"*[:2]", []string{"JSON.STRLEN", "doc", "$.s"}},
		{"*[:4]", []string{"JSON.STRAPPEND", "doc", "$.s", `"!!"`}},
		{"*[:0]", []string{"JSON.TOGGLE", "doc", "$.t"}},
		{`*["boolean"]`, []string{"JSON.TYPE", "doc", "$.t"}},
		{"+OK", []string{"JSON.MERGE", "doc", "$", `{"t":null,"b":{"y":1}}`}},
		{`"{\"a\":15.0,\"b\":{\"a\":3,\"x\":[1,\"two\"],\"y\":1},\"new\":{\"k\":[]},\"s\":\"hi!!\"}"`, []string{"JSON.GET", "doc"}},
		{":1", []string{"COPY", "doc", "copy"}},
		{`*["[\"hi!!\"]" "[\"hi!!\"]" nil]`, []string{"JSON.MGET", "doc", "copy", "none", "$.s"}},
		{":3", []string{"JSON.CLEAR", "copy", "$.*"}},
		{":2", []string{"JSON.DEL", "doc", "$..a"}},
		{":1", []string{"JSON.FORGET", "doc"}},
		{":0", []string{"EXISTS", "doc"}},
		{"+OK", []string{"SET", "text", "x"}},
		{"-" + errWrongType, []string{"JSON.GET", "text"}},
		{"-" + errWrongType, []string{"GET", "copy"}},
		{"-ERR new objects must be created at the root", []string{"JSON.SET", "none", "$.a", "1"}},
	} {
		p.want(x.reply, x.line...)
	}
	for _, line := range [][]string{{"JSON.SET", "d", "$", "{"}, {"JSON.SET", "d", "$[", "1"}, {"JSON.GET", "copy", "$..["}, {"JSON.NUMINCRBY", "copy", "$", "x"}} {
		if got := p.do(line...); got.kind != '-' {
			t.Errorf("%q: %s", line, got)
		}
	}
}

// Changes to different paths at two nodes both survive, and increments of one number add up.
func TestJSONMerges(t *testing.T) {
	t.Parallel()
	here, there := twoNodes(t)
	_, one := start(t, func(c *Config) { c.Fabric = here })
	_, two := start(t, func(c *Config) { c.Fabric = there })
	a, b := dial(t, one), dial(t, two)
	awaitKey(t, there, "doc", func() { a.want("+OK", "JSON.SET", "doc", "$", `{"n":1,"list":[]}`) })
	a.do("JSON.NUMINCRBY", "doc", "$.n", "2")
	b.do("JSON.NUMINCRBY", "doc", "$.n", "4")
	a.do("JSON.SET", "doc", "$.here", "true")
	b.do("JSON.SET", "doc", "$.there", "true")
	const want = `"{\"here\":true,\"list\":[],\"n\":7,\"there\":true}"`
	awaitReply(t, here, a, want, "JSON.GET", "doc")
	awaitReply(t, there, b, want, "JSON.GET", "doc")
}

// FuzzJSONPath: no path makes the parser or the selection fail otherwise than with an error.
func FuzzJSONPath(f *testing.F) {
	for _, path := range []string{"$", ".", "$..a[0].*", `$["a b"]['c']`, "a.b[-1]", "$[1:3]", "$..", "[", "$.a[*]..b"} {
		f.Add(path)
	}
	root, err := crdt.ParseJSON([]byte(`{"a":[{"b":1},[2,{"b":[]}]],"c":{"a":{"b":null}}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p, err := parseJSONPath(path)
		if err != nil {
			return
		}
		if _, err := selectJSON(&root, p.steps); err != nil {
			return
		}
		if _, isField := p.field(); isField && len(p.steps) == 0 {
			t.Errorf("%q ends in a field and has no steps", path)
		}
	})
}
