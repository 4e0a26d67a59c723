package resp

import (
	"errors"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
)

// TestJSONPathCost: whatever a path asks of each node counts, so that a long union below many nodes ends with an error.
func TestJSONPathCost(t *testing.T) {
	t.Parallel()
	root, err := crdt.ParseJSON([]byte("[" + strings.Repeat("{},", 9999) + "{}]"))
	if err != nil {
		t.Fatal(err)
	}
	for _, union := range []string{"'a'", "0"} {
		p, err := parseJSONPath("$..[" + strings.Repeat(union+",", 999) + union + "]")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := selectJSON(&root, p.steps); !errors.Is(err, errJSONPathCost) {
			t.Errorf("a union of %s: %v", union, err)
		}
	}
}

func TestJSONPathSlices(t *testing.T) {
	t.Parallel()
	root, _ := crdt.ParseJSON([]byte("[0,1,2,3]"))
	for path, want := range map[string]string{"$[1::9223372036854775807]": "[1]", "$[::3]": "[0,3]", "$[-2:]": "[2,3]", "$[2:1]": "[]"} {
		p, err := parseJSONPath(path)
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := selectJSON(&root, p.steps)
		got := jsonList(nodes)
		if text := string(got.Append(nil, crdt.JSONStyle{}, 100)); err != nil || text != want {
			t.Errorf("%s: %s, %v, want %s", path, text, err, want)
		}
	}
}

// TestJSONGetNames: the names of several paths are the paths, wherever the options stand.
func TestJSONGetNames(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("+OK", "json.set", "d", "$", `{"a":1,"b":2}`)
	p.want(`"{\"$.a\": [1],\"$.b\": [2]}"`, "json.get", "d", "$.a", "$.b", "space", " ")
	p.want(`"{\"$.a\": [1],\"$.b\": [2]}"`, "json.get", "d", "$.a", "space", " ", "$.b")
}
