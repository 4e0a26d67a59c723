package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a node alone, with the API on it.
type node struct {
	t *testing.T
	f *fabric.Fabric
	h *Handler
}

func newNode(t *testing.T) *node {
	t.Helper()
	f, err := fabric.Open(t.Context(), fabric.Config{Name: "n", Tier: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t, f, New(Config{Fabric: f, Version: "test"})}
	t.Cleanup(func() { n.h.Close(); _ = f.Close() })
	return n
}

// ask makes a request; headers are "Name: value".
func (n *node) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	n.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(n.t.Context(), method, path, content)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	n.h.ServeHTTP(w, r)
	return w
}

// want asks and compares the status, and whether the answer has some text.
func (n *node) want(status int, text, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	n.t.Helper()
	w := n.ask(method, path, body, headers...)
	if w.Code != status || !strings.Contains(w.Body.String(), text) {
		n.t.Errorf("%s %s %s: %d %s, want %d with %q", method, path, body, w.Code, bytes.TrimSpace(w.Body.Bytes()), status, text)
	}
	return w
}

func (n *node) entry(path string) (e client.Entry) {
	n.t.Helper()
	w := n.want(200, "", "GET", path, "")
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		n.t.Error(err)
	}
	return e
}

const shop = "/v1/regions/shop"

func TestOperationsOfEveryType(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, x := range []struct {
		op, args, result, entry string // parts of the answer to the operation, and of the entry afterwards
	}{
		{"reg/register/set", `{"value":"v"}`, `"changed":1`, `"type":"string","value":"v"`},
		{"sum/counter/add", `{"by":5}`, `"value":"5"`, `"value":"5"`},
		{"sum/counter/add", `{"by":-7}`, `"value":"-2"`, `"value":"-2"`},
		{"dec/counter/add-decimal", `{"by_decimal":"0.5"}`, `"value":"0.5"`, `"value":"0.5"`},
		{"set/set/add", `{"members":["b","a","b"]}`, `"changed":2`, `"type":"set","members":["a","b"]`},
		{"set/set/remove", `{"members":["b","c"]}`, `"changed":1`, `"members":["a"]`},
		{"map/map/put", `{"fields":{"x":"1","y":"2"}}`, `"changed":2`, `"type":"hash","fields":{"x":"1","y":"2"}`},
		{"map/map/add", `{"field":"x","by":9}`, `"value":"10"`, `"x":"10"`},
		{"map/map/remove", `{"names":["x","z"]}`, `"changed":1`, `"fields":{"y":"2"}`},
		{"z/sorted/put", `{"scores":[{"member":"m","score":"2"},{"member":"l","score":"-inf"}]}`, `"changed":2`, `"scores":[{"member":"l","score":"-inf"},{"member":"m","score":"2"}]`},
		{"z/sorted/add", `{"member":"m","by_decimal":"0.5"}`, `"value":"2.5"`, `"score":"2.5"`},
		{"z/sorted/remove", `{"members":["l"]}`, `"changed":1`, `"scores":[{"member":"m"`},
		{"l/list/push", `{"members":["a","b"]}`, `"changed":2`, `"type":"list","members":["a","b"]`},
		{"l/list/push", `{"members":["z"],"front":true}`, `"changed":1`, `"members":["z","a","b"]`},
		{"l/list/set", `{"index":1,"value":"A"}`, `"changed":1`, `"members":["z","A","b"]`},
		{"l/list/remove", `{"index":0,"count":2}`, `"changed":2`, `"members":["b"]`},
		{"x/stream/add", `{"fields":{"b":"2","a":"1"},"id":"5-1"}`, `"value":"5-1"`, `"type":"stream","entries":[{"id":"5-1","fields":["a","1","b","2"]}]`},
		{"x/stream/add", `{"fields":{"c":"3"}}`, `"changed":1`, `"fields":["c","3"]`},
		{"x/stream/remove", `{"ids":["5-1","6-1"]}`, `"changed":1`, `"entries":[{"id":"1`},
		{"x/stream/trim", `{"keep":0}`, `"changed":1`, `"type":"stream","etag"`},
		{"f/flag/turn", `{"on":true,"rule":"disable-wins"}`, `"changed":1`, `"type":"flag","on":true`},
		{"q/bounded/new", `{"initial":9,"limit":4}`, `"changed":1`, `"type":"bounded","value":"9","bounded":{"limit":4,"rights":5}`},
		{"q/bounded/add", `{"by":-3}`, `"value":"6"`, `"value":"6","bounded":{"limit":4,"rights":2}`},
		{"q/bounded/renew", `{}`, `"value":"6"`, `"rights":2`},
		{"b/block/alloc", `{"size":10000}`, `"value":"10000"`, `"type":"block","length":10000`},
		{"b/block/write", `{"offset":4090,"value":"across a page"}`, `"changed":1`, `"length":10000`},
		{"reg/expiry/set", `{"ttl_ms":60000}`, `"changed":1`, `"expire_at_ms":`},
		{"reg/expiry/clear", `{}`, `"changed":1`, `"value":"v","etag"`},
	} {
		n.want(200, x.result, "POST", shop+"/keys/"+x.op, x.args)
		n.want(200, x.entry, "GET", shop+"/keys/"+x.op[:strings.Index(x.op, "/")], "")
	}
	n.want(200, "\x00across", "GET", shop+"/keys/b/value?offset=4089&length=7", "")
	if w := n.want(200, "\x00", "GET", shop+"/keys/b/value?offset=9990", ""); w.Body.Len() != 10 {
		t.Errorf("the end of a block has %d bytes", w.Body.Len())
	}
	n.want(409, "problem:no-rights", "POST", shop+"/keys/q/bounded/add", `{"by":-3}`)
	n.want(409, "problem:bounded-exists", "POST", shop+"/keys/q/bounded/new", `{"initial":9,"limit":4}`)
	n.want(409, "problem:beyond-limit", "POST", shop+"/keys/q2/bounded/new", `{"initial":9,"limit":4,"ceiling":true}`)
	n.want(409, "problem:no-bounded", "POST", shop+"/keys/absent/bounded/add", `{"by":1}`)
	n.want(409, "problem:outside", "POST", shop+"/keys/b/block/write", `{"offset":9999,"value":"too long"}`)
	n.want(409, "problem:no-block", "POST", shop+"/keys/absent/block/write", `{"offset":0,"value":"x"}`)
	n.want(200, `"changed":1`, "POST", shop+"/keys/reg/entry/delete", `{}`)
	n.want(404, "urn:edgemem:problem:not-found", "GET", shop+"/keys/reg", "")
}

func TestOperationsRefuse(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.want(200, "", "POST", shop+"/keys/s/set/add", `{"members":["a"]}`)
	n.want(200, "", "PUT", shop+"/keys/text", `{"value":"v"}`)
	n.want(200, "", "PUT", shop+"/keys/most", `{"value":"9223372036854775807"}`)
	for _, x := range []struct {
		status              int
		text, path, content string
	}{
		{409, "problem:wrong-type", "s/counter/add", `{"by":1}`},
		{409, "problem:not-a-number", "text/counter/add", `{"by":1}`},
		{409, "problem:overflow", "most/counter/add", `{"by":1}`},
		{409, "problem:no-element", "l/list/set", `{"index":3,"value":"x"}`},
		{409, "problem:stream-id", "new/stream/add", `{"fields":{"a":"1"},"id":"0-0"}`},
		{422, "problem:arguments", "new/stream/add", `{"fields":{"a":"1"},"id":"now"}`},
		{422, "required property by", "s/counter/add", `{}`},
		{422, "unexpected property", "s/counter/add", `{"by":1,"members":["a"]}`},
		{422, "", "s/set/add", `{"members":[]}`},
		{422, "problem:arguments", "z/sorted/put", `{"scores":[{"member":"m","score":"nan"}]}`},
		{422, "problem:arguments", "s/set/add", `{"members":["!"],"encoding":"base64"}`},
		{400, "", "s/set/add", `{"members":`},
		{413, "problem:too-large", "s/set/add", `{"members":["` + strings.Repeat("x", 64<<10+1) + `"]}`},
		{413, "", "big/register/set", `{"value":"` + strings.Repeat("x", 2<<20) + `"}`},
		{404, "", "s/nothing/add", `{}`},
	} {
		n.want(x.status, x.text, "POST", shop+"/keys/"+x.path, x.content)
	}
	n.want(404, "problem:not-found", "GET", "/v1/regions/none/keys/k", "")
	n.want(422, "problem:region-name", "PUT", "/v1/regions/%20/keys/k", `{"value":"v"}`)
	if w := n.ask("POST", shop+"/keys/s/counter/add", `{"by":1}`); w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a problem is of type %q", w.Header().Get("Content-Type"))
	}
}

func TestKeysAndValuesAreBytes(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, key := range []string{"a%2Fb", "%2E%2E", "a%2F%2Fb", "%FF%00", "%3F%23"} {
		w := n.want(200, "", "PUT", shop+"/keys/"+key+"/value", "\x00\xffraw", "Content-Type: application/octet-stream")
		if got := n.ask("GET", shop+"/keys/"+key+"/value", ""); got.Body.String() != "\x00\xffraw" || got.Header().Get("ETag") != w.Header().Get("ETag") {
			t.Errorf("%s: %q", key, got.Body)
		}
		if e := n.entry(shop + "/keys/" + key); e.Encoding != "base64" || *e.Value != "AP9yYXc=" {
			t.Errorf("%s: %+v", key, e)
		}
	}
	n.want(200, `"encoding":"base64"`, "GET", shop+"/keys", "")
	n.want(200, `"changed":1`, "POST", shop+"/keys/s/set/add", `{"members":["/w=="],"encoding":"base64"}`)
	n.want(200, `"members":["/w=="]`, "GET", shop+"/keys/s", "")
}

func TestConditions(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	k := shop + "/keys/k"
	n.want(412, "problem:condition", "PUT", k, `{"value":"0"}`, "If-Match: *")
	first := n.want(200, "", "PUT", k, `{"value":"1"}`, "If-None-Match: *").Header().Get("ETag")
	n.want(412, "", "PUT", k, `{"value":"2"}`, "If-None-Match: *")
	n.want(304, "", "GET", k, "", "If-None-Match: "+first)
	second := n.want(200, "", "PUT", k, `{"value":"3"}`, `If-Match: "x", `+first).Header().Get("ETag")
	n.want(200, `"3"`, "GET", k, "", "If-None-Match: "+first)
	n.want(412, second[1:10], "DELETE", k, "", "If-Match: "+first)
	n.want(412, "", "POST", k+"/counter/add", `{"by":1}`, "If-Match: "+first)
	n.want(200, `"changed":1`, "DELETE", k, "", "If-Match: "+second)
}

func TestBatchIsWrittenWholeOrNot(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.want(200, `"value":"2"`, "POST", shop+"/batch", `{"ops":[{"op":"counter/add","key":"n","by":2},{"op":"set/add","key":"s","members":["a"]},
		{"op":"entry/delete","key":"s"},{"op":"list/push","key":"s","members":["x"]},{"op":"register/set","key":"/w==","key_encoding":"base64","value":"v"}]}`)
	n.want(200, `"type":"list"`, "GET", shop+"/keys/s", "")
	n.want(200, `"value":"dg=="`, "GET", shop+"/keys/%FF", "")
	for _, x := range []struct {
		status     int
		text, last string
	}{
		{409, "operation 1: crdt", `{"op":"counter/add","key":"s","by":1}`},
		{412, "operation 1: ", `{"op":"counter/add","key":"n","by":1,"if_none_match":"*"}`},
		{422, "operation 1: ", `{"op":"counter/add","key":"n"}`},
		{422, "operation 1: ", `{"op":"nothing","key":"n"}`},
		{422, "operation 1: ", `{"op":"counter/add","key":"!","key_encoding":"base64","by":1}`},
	} {
		n.want(x.status, x.text, "POST", shop+"/batch", `{"ops":[{"op":"register/set","key":"new","value":"v"},`+x.last+`]}`)
		n.want(404, "", "GET", shop+"/keys/new", "")
	}
	n.want(200, `"error":{"type":"urn:edgemem:problem:not-a-number"`, "POST", shop+"/batch", `{"ops":[{"op":"register/set","key":"new","value":"v"},{"op":"counter/add","key":"new","by":1}]}`)
	n.want(200, `"v"`, "GET", shop+"/keys/new", "")
}

func TestScanIsOrderedAndPaged(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, k := range []string{"b", "a", "d", "c", "other"} {
		n.want(200, "", "PUT", shop+"/keys/k:"+k, `{"value":"v"}`)
	}
	n.want(200, "", "PUT", shop+"/keys/zzz", `{"value":"v"}`)
	var got []string
	for after := ""; ; {
		var p Page
		w := n.want(200, "", "GET", shop+"/keys?prefix=k:&limit=2&after="+after, "")
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		for _, k := range p.Keys {
			got = append(got, k.Key)
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if all := strings.Join(got, " "); all != "k:a k:b k:c k:d k:other" {
		t.Errorf("scanned %s", all)
	}
	n.want(422, "", "GET", shop+"/keys?after=!", "")
	n.want(422, "", "GET", shop+"/keys?limit=0", "")
}

func TestRegions(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.want(404, "problem:not-found", "GET", "/v1/regions/tenant", "")
	n.want(200, `"ack":"disk","consistency":"causal"`, "PUT", "/v1/regions/tenant", `{"ack":"disk","consistency":"causal"}`)
	n.want(200, `"quota_bytes":1000000`, "PUT", "/v1/regions/tenant", `{"quota_bytes":1000000}`)
	n.want(422, "", "PUT", "/v1/regions/tenant", `{"ack":"never"}`)
	n.want(200, `"name":"tenant"`, "GET", "/v1/regions", "")
	n.want(204, "", "DELETE", "/v1/regions/tenant", "")
	n.want(404, "", "DELETE", "/v1/regions/tenant", "")
}

func TestSessionHeaders(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	w := n.want(200, "", "PUT", shop+"/keys/k", `{"value":"v"}`)
	token := w.Header().Get("Edgemem-Context")
	if _, err := fabric.ParseToken(token); err != nil || token == "" {
		t.Errorf("token %q, %v", token, err)
	}
	if at := w.Header().Get("Edgemem-Complete-Up-To"); at == "" || w.Header().Get("Edgemem-Dark") != "0" {
		t.Errorf("complete up to %q, dark %q", at, w.Header().Get("Edgemem-Dark"))
	}
	n.want(200, "", "GET", shop+"/keys/k", "", "Edgemem-Context: "+token)
	n.want(400, "problem:token", "GET", shop+"/keys/k", "", "Edgemem-Context: !")
	other := newNode(t) // it has never heard of the region
	stale := other.want(503, "problem:stale", "GET", shop+"/keys/k", "", "Edgemem-Context: "+token, "Edgemem-Wait-Ms: 1")
	if stale.Header().Get("Retry-After") == "" || !strings.Contains(stale.Body.String(), `"value":1`) {
		t.Errorf("stale: %v %s", stale.Header(), stale.Body)
	}
	other.want(422, "", "GET", shop+"/keys/k", "", "Edgemem-Wait-Ms: 60001")
}

func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	g := n.h.gate
	for range requestsMax {
		g.enter(0)
	}
	if w := n.want(503, "problem:busy", "GET", "/v1/regions", ""); w.Header().Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
	for range requestsMax {
		g.leave(0)
	}
	g.enter(bodiesMax - 10)
	n.want(503, "problem:busy", "PUT", shop+"/keys/k", `{"value":"more than ten bytes"}`)
	n.want(200, "", "GET", "/v1/regions", "")
	g.leave(bodiesMax - 10)
	n.want(200, "", "PUT", shop+"/keys/k", `{"value":"more than ten bytes"}`)
	if g.requests != 0 || g.bodies != 0 || http.StatusOK != 200 {
		t.Errorf("%d requests and %d bytes are left", g.requests, g.bodies)
	}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const till = shop + "/leases/till"
	n.want(503, "problem:no-voters", "POST", till, `{"ttl_ms":1000}`)
	n.want(200, `"epoch":0`, "GET", "/v1/voters", "")
	n.want(404, "problem:no-node", "PUT", "/v1/voters", `{"voters":["nobody"]}`)
	n.want(200, `"epoch":1,"majority":1,"votes_here":true`, "PUT", "/v1/voters", `{"voters":["n"]}`)
	var l Lease
	w := n.want(200, `"held":true`, "POST", till, `{"ttl_ms":60000,"owner":"ann"}`)
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || l.Token == 0 || l.LeftMs < 50_000 || l.LeftMs >= 60_000 {
		t.Fatalf("%s, %v", w.Body, err)
	}
	n.want(409, "problem:lease-held", "POST", till, `{"ttl_ms":1000}`)
	n.want(200, `"owner":"ann"`, "GET", till, "")
	n.want(200, `"held":true`, "PUT", fmt.Sprintf("%s/%d", till, l.Token), `{"ttl_ms":60000}`)
	n.want(410, "problem:lease-lost", "PUT", fmt.Sprintf("%s/%d", till, l.Token+1), `{"ttl_ms":60000}`)
	n.want(204, "", "DELETE", fmt.Sprintf("%s/%d", till, l.Token), "")
	n.want(200, fmt.Sprintf(`"held":false,"token":%d,"owner":"ann","left_ms":0`, l.Token), "GET", till, "")
	for _, body := range []string{`{"ttl_ms":99}`, `{"ttl_ms":3600001}`, `{}`, `{"ttl_ms":1000,"owner":"` + strings.Repeat("x", 129) + `"}`} {
		n.want(422, "", "POST", till, body)
	}
	n.want(422, "", "DELETE", till+"/0", "")
}
