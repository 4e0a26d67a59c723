package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/e2e/httpclient"
)

// TestGeneratedClient uses the API as programs do whose client a public generator made of its document, and carries a session from one node to another.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud"}, harness.Options{Name: "device"})
	cloud, device := httpClient(t, nodes[0]), httpClient(t, nodes[1])
	ctx := t.Context()

	region, err := device.PutRegionWithResponse(ctx, "shop", httpclient.Terms{})
	if err != nil || region.JSON200 == nil {
		t.Fatalf("create a region: %v, %s", err, region.Body)
	}
	set, err := device.SetAddWithResponse(ctx, "shop", "open/orders", nil, httpclient.SetAdd{Members: []string{"17", "4"}})
	if err != nil || set.JSON200 == nil || set.JSON200.Changed != 2 {
		t.Fatalf("add to a set: %v, %s", err, set.Body)
	}
	by, value := int64(3), "open"
	batch, err := device.BatchWithResponse(ctx, "shop", nil, httpclient.Batch{Ops: []httpclient.Op{
		{Op: "counter/add", Key: "sold", By: &by}, {Op: "register/set", Key: "order:17", Value: &value},
	}})
	if err != nil || batch.JSON200 == nil || len(batch.JSON200.Results) != 2 || *batch.JSON200.Results[0].Value != "3" {
		t.Fatalf("batch: %v, %s", err, batch.Body)
	}

	token, wait := batch.HTTPResponse.Header.Get("Edgemem-Context"), int64(harness.Patience.Milliseconds())
	entry, err := cloud.GetEntryWithResponse(ctx, "shop", "open/orders", &httpclient.GetEntryParams{EdgememContext: &token, EdgememWaitMs: &wait})
	if err != nil || entry.JSON200 == nil || !slices.Equal(*entry.JSON200.Members, []string{"17", "4"}) {
		t.Fatalf("read at the other node what was written: %v, %s", err, entry.Body)
	}
	page, err := cloud.ScanKeysWithResponse(ctx, "shop", nil)
	if err != nil || page.JSON200 == nil || len(page.JSON200.Keys) != 3 || page.JSON200.Keys[0].Key != "open/orders" {
		t.Fatalf("scan: %v, %s", err, page.Body)
	}
	tag := "*"
	taken, err := cloud.PutRegisterWithResponse(ctx, "shop", "order:17", &httpclient.PutRegisterParams{IfNoneMatch: &tag}, httpclient.RegisterSet{Value: "mine"})
	if err != nil || taken.ApplicationproblemJSON412 == nil || *taken.ApplicationproblemJSON412.Type != "urn:edgemem:problem:condition" {
		t.Fatalf("write a key that must be absent: %v, %s", err, taken.Body)
	}
}

func httpClient(t *testing.T, n *harness.Node) *httpclient.ClientWithResponses {
	t.Helper()
	c, err := httpclient.NewClientWithResponses("http://" + n.Started().Node.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCurlFollowsAWatchThroughKills writes while curl follows a watch of a region whose writes are on disk, kills the daemon again and
// again, and comes back with the last cursor: every write is told, and none twice.
func TestCurlFollowsAWatchThroughKills(t *testing.T) {
	t.Parallel()
	curl := harness.Need(t, "curl", "curl")
	n := harness.Start(t, harness.Options{Name: "n"})
	api := func() string { return "http://" + n.Started().Node.HTTP + "/v1/regions/orders" }
	put(t, api(), `{"ack":"disk"}`)
	cursor, written := "", 0
	var told []string
	follow := func(hear func(lines *bufio.Scanner)) {
		cmd := exec.CommandContext(t.Context(), curl, "-sN", "-H", "Last-Event-ID: "+cursor, api()+"/watch")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		hear(bufio.NewScanner(out))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	write := func() {
		written++
		put(t, fmt.Sprint(api(), "/keys/k", written), `{"value":"v"}`)
	}
	for range 3 {
		follow(func(lines *bufio.Scanner) {
			for target := written + 10; len(told) < target; {
				if written < target {
					write()
				}
				if !lines.Scan() {
					t.Fatalf("curl ended: %v", lines.Err())
				}
				cursor, _ = note(t, lines.Bytes(), cursor, &told)
			}
			for range 5 { // of which curl may hear, or not
				write()
			}
			n.Kill()
			for lines.Scan() {
				if json.Valid(lines.Bytes()) { // the last may be a part
					cursor, _ = note(t, lines.Bytes(), cursor, &told)
				}
			}
		})
		n.Start()
	}
	follow(func(lines *bufio.Scanner) {
		for caught := false; !caught; {
			if !lines.Scan() {
				t.Fatalf("curl ended: %v", lines.Err())
			}
			cursor, caught = note(t, lines.Bytes(), cursor, &told)
		}
	})
	slices.Sort(told)
	if len(told) != written || len(slices.Compact(slices.Clone(told))) != written {
		t.Errorf("%d keys were written, and %d told: %q", written, len(told), told)
	}
}

// note reads one line of a watch.
func note(t *testing.T, line []byte, cursor string, told *[]string) (next string, caught bool) {
	t.Helper()
	var ev struct {
		Event, Cursor string
		Entry         struct{ Key string }
	}
	if err := json.Unmarshal(line, &ev); err != nil || ev.Event == "reset" {
		t.Fatalf("%s: %v", line, err)
	}
	if ev.Event == "entry" {
		*told = append(*told, ev.Entry.Key)
	}
	if ev.Cursor != "" {
		cursor = ev.Cursor
	}
	return cursor, ev.Event == "caught-up"
}

func put(t *testing.T, url, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %s %s", url, resp.Status, text)
	}
}
