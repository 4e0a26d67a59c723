package crdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func parsed(t testing.TB, text string) *JSONNode {
	t.Helper()
	n, err := ParseJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &n
}

// document is what key shows, as text.
func document(t testing.TB, r *Region, key string) string {
	t.Helper()
	n, ok, err := r.View(testNow).JSON(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return ""
	}
	return string(n.Append(nil, JSONStyle{}, 1<<20))
}

// at is the path of fields by their names, and of elements by their ranks.
func at(t testing.TB, v *View, key string, steps ...any) (path string) {
	t.Helper()
	n, _, err := v.JSON(key, "")
	if err != nil {
		t.Fatal(err)
	}
	x := &n
	for i, s := range steps {
		switch s := s.(type) {
		case string:
			if path = JSONField(path, s); x.Find(s) == nil && i == len(steps)-1 {
				return path
			}
			x = x.Find(s)
		case int:
			x = &x.Nodes[s]
		}
		path = x.Path
	}
	return path
}

func setJSON(t testing.TB, r *Region, text string, steps ...any) {
	t.Helper()
	update(t, r, func(tx *Tx) error { return tx.JSONSet("d", at(t, &tx.View, "d", steps...), parsed(t, text)) })
}

func deleteJSON(t testing.TB, r *Region, steps ...any) {
	t.Helper()
	update(t, r, func(tx *Tx) error { _, err := tx.JSONDelete("d", at(t, &tx.View, "d", steps...)); return err })
}

func pushJSON(t testing.TB, r *Region, rank int, text string, steps ...any) {
	t.Helper()
	update(t, r, func(tx *Tx) error {
		n, _, err := tx.JSON("d", at(t, &tx.View, "d", steps...))
		if err != nil {
			return err
		}
		return tx.JSONInsert("d", &n, min(rank, len(n.Nodes)), []JSONNode{*parsed(t, text)})
	})
}

func incrJSON(t testing.TB, r *Region, delta string, steps ...any) {
	t.Helper()
	update(t, r, func(tx *Tx) error { _, err := tx.JSONIncr("d", at(t, &tx.View, "d", steps...), delta); return err })
}

// TestJSONMerges: what two sides do to one document at the same time, and what both show in the end. B writes later.
func TestJSONMerges(t *testing.T) {
	t.Parallel()
	const last = 1 << 20
	for _, c := range []struct {
		name, start string
		a, b        func(r *Region)
		want        string
	}{
		{
			"different fields", `{"x":{"a":1,"b":2}}`,
			func(r *Region) { setJSON(t, r, `10`, "x", "a") }, func(r *Region) { setJSON(t, r, `"z"`, "x", "c") },
			`{"x":{"a":10,"b":2,"c":"z"}}`,
		},
		{
			"one scalar", `{"a":1}`,
			func(r *Region) { setJSON(t, r, `"left"`, "a") }, func(r *Region) { setJSON(t, r, `"right"`, "a") },
			`{"a":"right"}`,
		},
		{
			"increments", `{"n":1.5}`,
			func(r *Region) { incrJSON(t, r, "2", "n") }, func(r *Region) { incrJSON(t, r, "0.25", "n") },
			`{"n":3.75}`,
		},
		{
			"an object and a later scalar", `{}`,
			func(r *Region) { setJSON(t, r, `{"y":1}`, "a") }, func(r *Region) { setJSON(t, r, `5`, "a") },
			`{"a":{"y":1}}`,
		},
		{
			"an array and an object", `{}`,
			func(r *Region) { setJSON(t, r, `{"y":1}`, "a") }, func(r *Region) { setJSON(t, r, `[1,2]`, "a") },
			`{"a":{"y":1}}`,
		},
		{
			"an array and a scalar", `{}`,
			func(r *Region) { setJSON(t, r, `[1,2]`, "a") }, func(r *Region) { setJSON(t, r, `5`, "a") },
			`{"a":[1,2]}`,
		},
		{
			"a removal and a write below", `{"a":{"x":1,"y":{"z":1}},"b":2}`,
			func(r *Region) { deleteJSON(t, r, "a") }, func(r *Region) { setJSON(t, r, `7`, "a", "y", "w") },
			`{"a":{"y":{"w":7}},"b":2}`,
		},
		{
			"a removal of all and a write below", `{"a":{"x":1,"y":{"z":1}},"b":2}`,
			func(r *Region) { deleteJSON(t, r) }, func(r *Region) { setJSON(t, r, `7`, "a", "y", "w") },
			`{"a":{"y":{"w":7}}}`,
		},
		{
			"a new document and a write below", `{"a":{"x":1},"b":2}`,
			func(r *Region) { setJSON(t, r, `{"c":3}`) }, func(r *Region) { setJSON(t, r, `7`, "a", "w") },
			`{"a":{"w":7},"c":3}`,
		},
		{
			"a removal and an increment", `{"n":10}`,
			func(r *Region) { deleteJSON(t, r, "n") }, func(r *Region) { incrJSON(t, r, "1", "n") },
			`{"n":1}`,
		},
		{
			"elements at one place", `[0,9]`,
			func(r *Region) { pushJSON(t, r, 1, `"a1"`); pushJSON(t, r, 2, `"a2"`) },
			func(r *Region) { pushJSON(t, r, 1, `{"b":1}`) },
			"",
		},
		{
			"an element removed and changed", `[{"x":1},{"x":2},{"x":3}]`,
			func(r *Region) { deleteJSON(t, r, 1) }, func(r *Region) { setJSON(t, r, `20`, 1, "x"); pushJSON(t, r, last, `4`) },
			`[{"x":1},{"x":20},{"x":3},4]`,
		},
		{
			"elements removed on both sides", `[0,1,2,3]`,
			func(r *Region) { deleteJSON(t, r, 1) }, func(r *Region) { deleteJSON(t, r, 2); deleteJSON(t, r, 1) },
			`[0,3]`,
		},
	} {
		a, b := newTestRegion(1), newTestRegion(2)
		setJSON(t, a, c.start)
		pullAll(t, b, a, last)
		c.a(a)
		c.b(b)
		pullAll(t, a, b, 100)
		pullAll(t, b, a, last)
		mustAudit(t, a, b)
		got := document(t, a, "d")
		if c.want == "" { // either run may be first
			if got != `[0,"a1","a2",{"b":1},9]` && got != `[0,{"b":1},"a1","a2",9]` {
				t.Errorf("%s: %s", c.name, got)
			}
		} else if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if other := document(t, b, "d"); other != got {
			t.Errorf("%s: the replicas show %s and %s", c.name, got, other)
		}
	}
}

// TestJSONSettles: a write at a path, above or below it settles what was kept there beside what shows.
func TestJSONSettles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(r *Region)
		then func(r *Region)
		want string
	}{
		{"at it", func(r *Region) { setJSON(t, r, `"new"`, "a") }, func(*Region) {}, `{"a":"new"}`},
		{"above it", func(r *Region) { setJSON(t, r, `[1]`) }, func(*Region) {}, `[1]`},
		{"below it", func(r *Region) { setJSON(t, r, `2`, "a", "z") }, func(r *Region) { deleteJSON(t, r, "a", "z"); deleteJSON(t, r, "a", "y") }, `{"a":{}}`},
		{"not at all", func(r *Region) { setJSON(t, r, `2`, "b") }, func(r *Region) { setJSON(t, r, `3`, "b") }, `{"a":{"y":1},"b":3}`},
	} {
		a, b := newTestRegion(1), newTestRegion(2)
		setJSON(t, a, `{}`)
		pullAll(t, b, a, 1<<20)
		setJSON(t, a, `{"y":1}`, "a")
		setJSON(t, b, `[5,6]`, "a")
		pullAll(t, a, b, 1<<20)
		c.do(a)
		pullAll(t, b, a, 1<<20)
		c.then(b)
		pullAll(t, a, b, 1<<20)
		mustAudit(t, a, b)
		for _, r := range []*Region{a, b} {
			if got := document(t, r, "d"); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
	}
}

// randomJSON is a value of a few levels, as encoding/json reads it.
func randomJSON(rng *rand.Rand, depth int) any {
	switch rng.IntN(8 + 4*min(depth, 1)) {
	case 0:
		return nil
	case 1:
		return rng.IntN(2) == 0
	case 2, 3, 4:
		return json.Number(fmt.Sprint(rng.IntN(100) - 50))
	case 5:
		return json.Number(fmt.Sprintf("%d.5", rng.IntN(9)))
	case 6, 7:
		return []string{"", "s", "\x00", "ü\"\\\n", "{", "["}[rng.IntN(6)]
	case 8, 9:
		out := make([]any, rng.IntN(4))
		for i := range out {
			out[i] = randomJSON(rng, depth-1)
		}
		return out
	}
	out := map[string]any{}
	for range rng.IntN(4) {
		out[[]string{"a", "b", "", "\x00", "\x00\x01", "ab"}[rng.IntN(6)]] = randomJSON(rng, depth-1)
	}
	return out
}

func asText(t testing.TB, x any) string {
	t.Helper()
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func asAny(t testing.TB, text string) (x any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&x); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return x
}

// pick goes down a document at random.
func pick(rng *rand.Rand, x any) (steps []any) {
	for rng.IntN(3) > 0 {
		switch y := x.(type) {
		case []any:
			if len(y) == 0 {
				return steps
			}
			i := rng.IntN(len(y))
			steps, x = append(steps, i), y[i]
		case map[string]any:
			if len(y) == 0 {
				return steps
			}
			name := sortedKeysOf(y)[rng.IntN(len(y))]
			steps, x = append(steps, name), y[name]
		default:
			return steps
		}
	}
	return steps
}

// TestJSONIsATree drives a document of one replica beside the tree that encoding/json makes, through pushes and its durable image.
func TestJSONIsATree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 61))
		r, peer := newTestRegion(1), newTestRegion(2)
		var image []Record
		var want any = map[string]any{}
		setJSON(t, r, `{}`)
		for range 40 {
			steps := pick(rng, want)
			val := randomJSON(rng, 3)
			switch rng.IntN(5) {
			case 0:
				if len(steps) > 0 {
					deleteJSON(t, r, steps...)
					want = edit(want, steps, func(any) (any, bool) { return nil, false })
				}
			case 1, 2:
				steps = append(steps, "new")
				if _, isObject := reach(want, steps[:len(steps)-1]).(map[string]any); !isObject {
					steps = steps[:len(steps)-1]
				}
				setJSON(t, r, asText(t, val), steps...)
				want = edit(want, steps, func(any) (any, bool) { return val, true })
			default:
				list, isArray := reach(want, steps).([]any)
				number, isNumber := reach(want, steps).(json.Number)
				switch {
				case isArray:
					rank := rng.IntN(len(list) + 1)
					pushJSON(t, r, rank, asText(t, val), steps...)
					want = edit(want, steps, func(any) (any, bool) {
						return append(append(append([]any{}, list[:rank]...), val), list[rank:]...), true
					})
				case isNumber:
					incrJSON(t, r, "1.5", steps...)
					f, _ := number.Float64()
					want = edit(want, steps, func(any) (any, bool) { return json.Number(strings.TrimSuffix(JSONFloat(f+1.5), ".0")), true })
				}
			}
			image = append(image, r.TakeDirty()...)
			pushTo(t, r, peer)
			got := document(t, r, "d")
			if !reflect.DeepEqual(asAny(t, got), asAny(t, asText(t, want))) {
				t.Fatalf("seed %d: %s, want %s", seed, got, asText(t, want))
			}
		}
		mustAudit(t, r, peer)
		for name, x := range map[string]*Region{"the peer": peer, "the durable image": loaded(t, image)} {
			if got := document(t, x, "d"); got != document(t, r, "d") {
				t.Fatalf("seed %d: %s shows %s", seed, name, got)
			}
		}
	}
}

// reach goes down a tree.
func reach(x any, steps []any) any {
	for _, s := range steps {
		switch y := x.(type) {
		case []any:
			x = y[s.(int)]
		case map[string]any:
			x = y[s.(string)]
		}
	}
	return x
}

// edit changes one place of a tree, or takes it out.
func edit(x any, steps []any, fn func(any) (any, bool)) any {
	if len(steps) == 0 {
		y, _ := fn(x)
		return y
	}
	switch y := x.(type) {
	case []any:
		i := steps[0].(int)
		if len(steps) > 1 {
			y[i] = edit(y[i], steps[1:], fn)
		} else if val, keep := fn(y[i]); keep {
			y[i] = val
		} else {
			return append(append([]any{}, y[:i]...), y[i+1:]...)
		}
		return y
	case map[string]any:
		name := steps[0].(string)
		if len(steps) > 1 {
			y[name] = edit(y[name], steps[1:], fn)
		} else if val, keep := fn(y[name]); keep {
			y[name] = val
		} else {
			delete(y, name)
		}
	}
	return x
}

// TestJSONConverges: replicas that write to one document as they like, and meet as they like, show one document in the end.
func TestJSONConverges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(lawRuns) {
		rng := rand.New(rand.NewPCG(seed, 62))
		rs := []*Region{newTestRegion(1), newTestRegion(2), newTestRegion(3)}
		for range 40 {
			r, o := rs[rng.IntN(3)], rs[rng.IntN(3)]
			if rng.IntN(4) == 0 {
				if r != o {
					pullAll(t, r, o, 1+rng.IntN(400))
				}
				continue
			}
			text := document(t, r, "d")
			if text == "" {
				setJSON(t, r, asText(t, randomJSON(rng, 3)))
				continue
			}
			tree := asAny(t, text)
			steps := pick(rng, tree)
			switch _, isArray := reach(tree, steps).([]any); {
			case isArray && rng.IntN(3) > 0:
				pushJSON(t, r, rng.IntN(3), asText(t, randomJSON(rng, 1)), steps...)
			case rng.IntN(3) == 0:
				deleteJSON(t, r, steps...)
			default:
				setJSON(t, r, asText(t, randomJSON(rng, 2)), steps...)
			}
		}
		for range 2 {
			for i := range rs {
				pullAll(t, rs[i], rs[(i+1)%3], 1<<20)
				pullAll(t, rs[i], rs[(i+2)%3], 1<<20)
			}
		}
		mustAudit(t, rs...)
		for _, r := range rs[1:] {
			if a, b := document(t, rs[0], "d"), document(t, r, "d"); a != b {
				t.Fatalf("seed %d: %s and %s", seed, a, b)
			}
		}
	}
}

func TestJSONRefuses(t *testing.T) {
	t.Parallel()
	r := newTestRegion(1)
	update(t, r, func(tx *Tx) error {
		tx.Set("s", nil, false)
		one := parsed(t, `1`)
		for i, c := range []struct {
			err  error
			want error
		}{
			{tx.JSONSet("d", JSONField("", "a"), one), ErrNotPath},
			{tx.JSONSet("s", "", one), ErrWrongType},
			{tx.JSONSet("d", "", parsed(t, `{"a":[1],"b":"x"}`)), nil},
			{tx.JSONSet("d", JSONField(JSONField("", "none"), "a"), one), ErrNotPath},
			{tx.JSONSet("d", JSONField(JSONField("", "b"), "a"), one), ErrNotPath},
			{tx.JSONSet("d", JSONField(JSONField("", "a"), "a"), one), ErrNotPath},
			{tx.JSONSet("d", "\x01half", one), ErrNotPath},
			{tx.JSONSet("d", jsonElement(JSONField("", "a"), anyPosition), one), ErrNotPath},
			{tx.JSONSet("d", JSONField("", strings.Repeat("k", MaxKeyBytes)), one), ErrTooLarge},
			{tx.JSONSet("d", "", &JSONNode{Type: JSONString, Text: strings.Repeat("v", MaxValueBytes)}), ErrTooLarge},
			{second(tx.JSONIncr("d", JSONField("", "b"), "1")), ErrNotPath},
			{tx.JSONInsert("d", &JSONNode{Type: JSONArray, Path: JSONField("", "a")}, 1, nil), ErrNoElement},
			{tx.JSONInsert("d", &JSONNode{Path: JSONField("", "b")}, 0, nil), ErrNotPath},
			{tx.JSONSet("d", JSONField("", "big"), parsed(t, `1e308`)), nil},
			{second(tx.JSONIncr("d", JSONField("", "big"), "1e308")), ErrOverflow},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%d: %v, want %v", i, c.err, c.want)
			}
		}
		for _, c := range []struct{ number, delta, want string }{
			{"1e-20", "1e-30", "1.0000000001e-20"},
			{"1e-20", "1", "1.0"},
			{"0.1", "0.2", "0.3"},
			{"9223372036854775807", "1", "9223372036854775808"},
			{"1.0", "2", "3"},
		} {
			_ = tx.JSONSet("d", "", parsed(t, c.number))
			if sum, err := tx.JSONIncr("d", "", c.delta); err != nil || sum != c.want {
				t.Errorf("%s and %s is %s, %v, want %s", c.number, c.delta, sum, err, c.want)
			}
			if n, _, _ := tx.JSON("d", ""); n.Text != c.want {
				t.Errorf("%s and %s shows %s", c.number, c.delta, n.Text)
			}
		}
		return nil
	})
	mustAudit(t, r)
}

func TestParseJSONRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", "[1,]", "1 2", "tru", `{"a"}`, `{1:2}`, "1e999", strings.Repeat("[", JSONDepthMax+1) + strings.Repeat("]", JSONDepthMax+1), "[" + strings.Repeat("1,", JSONNodesMax) + "1]"} {
		if _, err := ParseJSON([]byte(text)); !errors.Is(err, ErrNotJSON) {
			t.Errorf("%.20s: %v", text, err)
		}
	}
	n := parsed(t, `{"b":[1.0,-0,1e2,18446744073709551615,1e21],"a":{"x":[]},"b":2,"c":[1.0,-0,1e2,18446744073709551615,1e21,0.1]}`)
	if got := string(n.Append(nil, JSONStyle{}, 1000)); got != `{"a":{"x":[]},"b":2,"c":[1.0,-0.0,100.0,18446744073709551615,1e+21,0.1]}` {
		t.Error(got)
	}
	if got := string(n.Append(nil, JSONStyle{"\t", "\n", " "}, 1000)); !strings.HasPrefix(got, "{\n\t\"a\": {\n\t\t\"x\": []\n\t},\n\t\"b\": 2,") {
		t.Error(got)
	}
	if got := n.Append(nil, JSONStyle{}, 5); len(got) < 6 || len(got) > 30 {
		t.Errorf("%s", got)
	}
}

// FuzzJSONText: what is read is what encoding/json reads, and its text reads back alike.
func FuzzJSONText(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,-0,1e3,"x\u0000é",null,true,{}]}`, `"\ud800"`, `[[[]]]`, ` 1 `, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseJSON(text)
		if err != nil {
			return
		}
		out := n.Append(nil, JSONStyle{}, 1<<30)
		again, err := ParseJSON(out)
		if err != nil || !n.Equal(&again) || !bytes.Equal(again.Append(nil, JSONStyle{}, 1<<30), out) {
			t.Fatalf("%s is %s, which reads otherwise, %v", text, out, err)
		}
		var a, b any
		if json.Unmarshal(text, &a) != nil || json.Unmarshal(out, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%s is not %s", text, out)
		}
	})
}

// FuzzPath: paths from wherever read back as they were written, and documents with nodes at any of them show something.
func FuzzPath(f *testing.F) {
	f.Add(JSONField(JSONField("", "a"), "b\x00c"), JSONField("", "a"))
	f.Add(jsonElement(JSONField("", ""), anyPosition), "")
	f.Fuzz(func(t *testing.T, one, two string) {
		for _, path := range []string{one, two} {
			steps, ok := JSONSteps(path)
			if !ok {
				continue
			}
			again := ""
			for _, s := range steps {
				if s.Element {
					again = jsonElement(again, []byte(s.Name))
				} else {
					again = JSONField(again, s.Name)
				}
			}
			if again != path {
				t.Fatalf("%q reads back as %q", path, again)
			}
		}
		r := newTestRegion(1)
		update(t, r, func(tx *Tx) error {
			for _, path := range []string{one, two} {
				if _, ok := JSONSteps(path); ok && len(path) <= MaxKeyBytes {
					tx.write(r.upsert("d", CellNode, path), TagReg, []byte("1"), nil)
				}
			}
			return nil
		})
		n, ok, err := r.View(testNow).JSON("d", "")
		if err != nil || ok != (r.Entries() > 0) {
			t.Fatal(ok, err)
		}
		if ok && !json.Valid(n.Append(nil, JSONStyle{}, 1<<30)) {
			t.Fatal("no JSON")
		}
	})
}
