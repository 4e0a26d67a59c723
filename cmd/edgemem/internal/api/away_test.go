package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// apart gives the APIs of a node without a copy of region "r" and of one that has it.
func apart(t *testing.T, m *fabric.Mesh) (away, holder *Handler) {
	t.Helper()
	open := func(id crdt.NodeID) (*fabric.Fabric, *Handler) {
		store, err := (&storetest.Disk{}).Open()
		if err != nil {
			t.Fatal(err)
		}
		f, err := fabric.Open(t.Context(), fabric.Config{Name: string(id), Tier: "edge", Transport: m.Node(id), Seed: 7, Storage: store, ManualMoves: true})
		if err != nil {
			t.Fatal(err)
		}
		h := New(Config{Fabric: f})
		done := f.Answer(Service, h.Answer)
		t.Cleanup(func() {
			done()
			_ = h.Close()
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
		return f, h
	}
	asker, away := open("away")
	f, holder := open("holder")
	if _, err := f.CreateRegion(t.Context(), "r", fabric.RegionConfig{Placement: fabric.Placement{Kind: "demand"}}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	r, err := asker.Region("r")
	if err == nil && r.Held() {
		err = r.GiveCopy(t.Context())
	}
	if err != nil || r.Held() {
		t.Fatalf("the other node has a copy: %v", err)
	}
	return away, holder
}

func call(h http.Handler, method, path, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRequestsTravel: a node without a copy answers as the holder does, and says who that is.
func TestRequestsTravel(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t, fabric.NewMesh(1))
		const keys = "/v1/regions/r/keys"
		etag := ""
		for _, x := range []struct {
			method, path, body string
			headers            []string
			status             int
		}{
			{"PUT", keys + "/k", `{"value":"v"}`, nil, 200},
			{"GET", keys + "/k", "", nil, 200},
			{"GET", keys + "/none", "", nil, 404},
			{"GET", keys + "/a%2Fb", "", nil, 404},
			{"PUT", keys + "/k", `{"value":"w"}`, []string{"If-None-Match", "*"}, 412},
			{"POST", keys + "/n/counter/add", `{"by":3}`, nil, 200},
			{"POST", keys + "/k/counter/add", `{"by":"x"}`, nil, 422},
			{"PUT", keys + "/raw/value", "\xff\x00", []string{"Content-Type", "application/octet-stream"}, 200},
			{"GET", keys + "/raw/value", "", nil, 200},
			{"POST", "/v1/regions/r/batch", `{"ops":[{"op":"set/add","key":"s","members":["a"]},{"op":"register/set","key":"z","value":"1"}]}`, nil, 200},
			{"GET", keys, "", nil, 200},
			{"GET", keys + "?prefix=z&limit=1", "", nil, 200},
			{"DELETE", keys + "/z", "", nil, 200},
			{"GET", keys + "/k", "", []string{"Edgemem-Context", "nonsense"}, 400},
		} {
			got := call(away, x.method, x.path, x.body, x.headers...)
			if got.StatusCode != x.status || got.Header.Get(sourceHeader) != "holder" {
				t.Errorf("%s %s: %d, source %q: %s", x.method, x.path, got.StatusCode, got.Header.Get(sourceHeader), text(t, got))
				continue
			}
			if x.method != "GET" {
				continue
			}
			want := call(holder, x.method, x.path, x.body, x.headers...)
			if a, b := text(t, got), text(t, want); a != b {
				t.Errorf("%s %s: %q, the holder answers %q", x.method, x.path, a, b)
			}
			for _, name := range []string{"Content-Type", "ETag", "Edgemem-Context", "Edgemem-Dark"} {
				if a, b := got.Header.Get(name), want.Header.Get(name); a != b {
					t.Errorf("%s %s: %s %q, the holder says %q", x.method, x.path, name, a, b)
				}
			}
			if x.path == keys+"/k" && etag == "" {
				etag = got.Header.Get("ETag")
			}
		}
		if got := call(away, "GET", keys+"/k", "", "If-None-Match", etag); got.StatusCode != http.StatusNotModified {
			t.Errorf("not modified: %d", got.StatusCode)
		}
		if got := call(away, "GET", "/v1/regions/default/keys", ""); got.StatusCode != 200 || got.Header.Get(sourceHeader) != "" {
			t.Errorf("a region that is here: %d, %q", got.StatusCode, got.Header.Get(sourceHeader))
		}
		token := call(away, "GET", keys+"/k", "").Header.Get("Edgemem-Context")
		if got := call(away, "GET", keys+"/k", "", "Edgemem-Context", token, "Edgemem-Wait-Ms", "1000"); got.StatusCode != 200 {
			t.Errorf("with its own token: %d", got.StatusCode)
		}
	})
}

// TestWatchTravels: until its client leaves; and when the holder goes it ends.
func TestWatchTravels(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := fabric.NewMesh(1)
		away, holder := apart(t, m)
		call(holder, "PUT", "/v1/regions/r/keys/k", `{"value":"v"}`)
		for _, how := range []string{"leaves", "cut"} {
			ctx, cancel := context.WithCancel(t.Context())
			w := httptest.NewRecorder()
			done := make(chan struct{})
			go func() {
				defer close(done)
				r := httptest.NewRequestWithContext(ctx, "GET", "/v1/regions/r/watch", nil)
				r.Header.Set("Accept", sse)
				away.ServeHTTP(w, r)
			}()
			time.Sleep(time.Second)
			call(holder, "PUT", "/v1/regions/r/keys/k", `{"value":"`+how+`"}`)
			time.Sleep(time.Second)
			synctest.Wait()
			if how == "leaves" {
				cancel()
			} else {
				m.Cut("away", "holder")
			}
			<-done
			cancel()
			got := w.Body.String()
			if w.Code != 200 || w.Header().Get(sourceHeader) != "holder" || w.Header().Get("Content-Type") != sse || strings.Count(got, "event: entry") != 2 ||
				strings.Count(got, "event: caught-up") != 1 || !strings.Contains(got, `"value":"`+how+`"`) {
				t.Errorf("%s: %d %v\n%s", how, w.Code, w.Header(), got)
			}
		}
	})
}

// TestNoHolderIsAProblem: it says who is known, and when to come back.
func TestNoHolderIsAProblem(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := fabric.NewMesh(1)
		away, _ := apart(t, m)
		m.Cut("away", "holder")
		for _, x := range [][3]string{{"GET", "/v1/regions/r/keys/k", ""}, {"PUT", "/v1/regions/r/keys/k", `{"value":"v"}`}, {"GET", "/v1/regions/r/watch", ""}} {
			got := call(away, x[0], x[1], x[2])
			body := text(t, got)
			if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.Header.Get("Content-Type") != "application/problem+json" ||
				!strings.Contains(body, `"urn:edgemem:problem:no-holder"`) || !strings.Contains(body, `"id":"holder"`) {
				t.Errorf("%v: %d %v %s", x, got.StatusCode, got.Header, body)
			}
		}
	})
}

// TestWritesWait: where no holder is reached and the region allows it, a write that depends on nothing is accepted, and done later.
func TestWritesWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := fabric.NewMesh(1)
		away, holder := apart(t, m)
		if got := call(holder, "PUT", "/v1/regions/r", `{"queue_writes":true}`); got.StatusCode != 200 || !strings.Contains(text(t, got), `"queue_writes":true`) {
			t.Fatalf("%d", got.StatusCode)
		}
		time.Sleep(time.Minute)
		m.Cut("away", "holder")
		for _, x := range []struct {
			method, path, body string
			header             []string
			status             int
			says               string
		}{
			{"PUT", "/keys/k", `{"value":"v"}`, nil, 202, `"queued":true`},
			{"PUT", "/keys/k/value", "v", []string{"Content-Type", "application/octet-stream"}, 202, `"queued":true`},
			{"POST", "/keys/n/counter/add", `{"by":5}`, nil, 202, `"queued":true`},
			{"POST", "/batch", `{"ops":[{"op":"set/add","key":"s","members":["a"]},{"op":"counter/add","key":"n","by":2}]}`, nil, 202, `"queued":true`},
			{"POST", "/batch", `{"ops":[{"op":"counter/add","key":"n","by":100},{"op":"entry/delete","key":"n"}]}`, nil, 503, "no-holder"},
			{"PUT", "/keys/k", `{"value":"v"}`, []string{"If-None-Match", "*"}, 503, "no-holder"},
			{"PUT", "/keys/k", `{"value":"v","keep_expiry":true}`, nil, 503, "no-holder"},
			{"DELETE", "/keys/k", "", nil, 503, "no-holder"},
			{"GET", "/keys/k", "", nil, 503, "no-holder"},
		} {
			got := call(away, x.method, "/v1/regions/r"+x.path, x.body, x.header...)
			if body := text(t, got); got.StatusCode != x.status || !strings.Contains(body, x.says) || got.Header.Get("ETag") != "" {
				t.Errorf("%s %s %s: %d %s", x.method, x.path, x.body, got.StatusCode, body)
			}
		}
		if got := text(t, call(away, "GET", "/v1/regions/r", "")); !strings.Contains(got, `"queued_writes":4`) {
			t.Errorf("%s", got)
		}
		m.Heal("away", "holder")
		if got := text(t, call(away, "GET", "/v1/regions/r/keys/n/value", "")); got != "7" {
			t.Errorf("the counter is %s", got)
		}
	})
}

// TestRequestsOfOtherNodes: only about entries of the region that is asked for, and writes only as such.
func TestRequestsOfOtherNodes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, holder := apart(t, fabric.NewMesh(1))
		f := asker(away)
		for _, body := range []string{
			"", "{}", "{}\n", `{"method":"GET","uri":"/v1/regions/default/keys/k"}` + "\n", `{"method":"DELETE","uri":"/v1/regions/r"}` + "\n",
			`{"method":"GET","uri":"/v1/regions"}` + "\n", `{"method":"GET","uri":"://"}` + "\n", `{"method":"PUT","uri":"/v1/regions/r/keys/k"}` + "\n" + `{"value":"v"}`,
			`{"method":"G ET","uri":"/v1/regions/r/keys/k"}` + "\n", `{"method":"GET","uri":"/v1/regions/r/keys/../../default/keys/k"}` + "\n",
		} {
			if b, _, err := f.Ask(t.Context(), fabric.Request{Region: "r", Service: Service, Body: []byte(body)}); err == nil && !strings.Contains(string(b), `"status":30`) {
				t.Errorf("%q: %s", body, b)
			}
		}
		if got := call(holder, "GET", "/v1/regions/r/keys/k", ""); got.StatusCode != 404 {
			t.Errorf("something was written: %d", got.StatusCode)
		}
	})
}

func asker(h *Handler) *fabric.Fabric { return h.next.(*away).s.f }
