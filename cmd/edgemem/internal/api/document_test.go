package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

var update = flag.Bool("update", false, "write openapi.json")

// The checked-in document is what the handlers say. go test ./cmd/edgemem/internal/api -run TestDocument -update writes it.
func TestDocument(t *testing.T) {
	t.Parallel()
	h := New(Config{Version: "1"})
	raw, err := h.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc bytes.Buffer
	if err := json.Indent(&doc, raw, "", " "); err != nil {
		t.Fatal(err)
	}
	doc.WriteByte('\n')
	const file = "openapi.json"
	if *update {
		if err := os.WriteFile(file, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(want, doc.Bytes()) {
		t.Errorf("%s is not what the handlers say (%v): run this test with -update", file, err)
	}
}

// Every operation has a name, a summary and an answer, every reference leads somewhere, and every row of the table has its path.
func TestDocumentIsWhole(t *testing.T) {
	t.Parallel()
	h := New(Config{Version: "1"})
	raw, err := h.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	walk(doc, func(ref string) {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		if h.doc.Components.Schemas.Map()[name] == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	})
	ids := map[string]bool{}
	for path, item := range h.doc.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete} {
			if o == nil {
				continue
			}
			if o.OperationID == "" || ids[o.OperationID] || o.Summary == "" || len(o.Responses) < 2 {
				t.Errorf("%s: %q, %q, %d answers", path, o.OperationID, o.Summary, len(o.Responses))
			}
			ids[o.OperationID] = true
		}
	}
	for _, o := range client.Operations() {
		if h.doc.Paths["/v1/regions/{region}/keys/{key}/"+o.Name] == nil {
			t.Errorf("%s has no path", o.Name)
		}
	}
}

// walk calls fn on every $ref.
func walk(x any, fn func(ref string)) {
	switch x := x.(type) {
	case map[string]any:
		for k, v := range x {
			if ref, ok := v.(string); ok && k == "$ref" {
				fn(ref)
			}
			walk(v, fn)
		}
	case []any:
		for _, v := range x {
			walk(v, fn)
		}
	}
}

// Whatever is asked, the answer is no panic and no fault of the server's own, and the region is sound afterwards.
func FuzzRequests(f *testing.F) {
	for _, x := range [][3]string{
		{"GET", "/v1/regions/shop/keys/k", ""}, {"PUT", "/v1/regions/shop/keys/k", `{"value":"v","ttl_ms":5}`}, {"DELETE", "/v1/regions/shop/keys/k", ""},
		{"PUT", "/v1/regions/shop/keys/k/value", "raw"}, {"GET", "/v1/regions/shop/keys?prefix=a&after=YQ&limit=3", ""}, {"PUT", "/v1/regions/shop", `{"ack":"disk"}`},
		{"POST", "/v1/regions/shop/batch", `{"ops":[{"op":"counter/add","key":"n","by":-2},{"op":"list/push","key":"l","members":["a"],"front":true}]}`},
		{"POST", "/v1/regions/shop/keys/m/map/put", `{"fields":{"a":"YQ=="},"encoding":"base64"}`}, {"POST", "/v1/regions/shop/keys/z/sorted/put", `{"scores":[{"member":"m","score":"inf"}]}`},
		{"POST", "/v1/regions/shop/keys/l/list/remove", `{"index":0,"count":9}`}, {"POST", "/v1/regions/shop/keys/f/flag/turn", `{"on":true,"rule":"disable-wins"}`},
		{"POST", "/v1/regions/shop/keys/q/bounded/new", `{"initial":5,"limit":9,"ceiling":true}`}, {"POST", "/v1/regions/shop/keys/q/bounded/add", `{"by":4}`},
		{"POST", "/v1/regions/shop/keys/d/counter/add-decimal", `{"by_decimal":"1e3"}`}, {"GET", "/v1/openapi.json", ""},
	} {
		f.Add(x[0], x[1], x[2], "", "")
	}
	node, err := fabric.Open(f.Context(), fabric.Config{Name: "n"})
	if err != nil {
		f.Fatal(err)
	}
	defer node.Close()
	h := New(Config{Fabric: node})
	f.Fuzz(func(t *testing.T, method, path, body, tag, token string) {
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		target, err := r.URL.Parse(path)
		if err != nil || isWatch(r) || strings.HasSuffix(target.Path, "/watch") {
			return // a watch has no end
		}
		r.Method, r.URL = method, target
		r.Header.Set("If-Match", tag)
		r.Header.Set("Edgemem-Context", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != 503 && w.Code != 507 {
			t.Fatalf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
		}
		shop, err := node.Region("shop")
		if err != nil {
			t.Fatal(err)
		}
		_ = shop.View(func(v *crdt.View) { v.Len() })
	})
}
