package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/api"
)

// watched is a client that follows a watch with curl's means: the lines, and the cursor of the last one.
type watched struct {
	cursor string
	told   []string
}

// hear follows the watch until it has been told an entry with a value, or, for "", that it has caught up.
func (w *watched) hear(t *testing.T, d *Daemon, last string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+d.httpListener.Addr().String()+"/v1/regions/shop/watch?prefix=k", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", w.cursor)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var ev api.WatchEvent
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			t.Fatal(err)
		}
		if ev.Cursor != "" {
			w.cursor = ev.Cursor
		}
		switch {
		case ev.Event == "entry" && ev.Entry.Value != nil:
			w.told = append(w.told, *ev.Entry.Value)
			if *ev.Entry.Value == last {
				return
			}
		case ev.Event == "entry":
			w.told = append(w.told, ev.Entry.Key+" is gone")
		case ev.Event == "caught-up" && last == "":
			return
		case ev.Event == "reset", ev.Event == "problem":
			t.Fatalf("heard %s", lines.Text())
		}
	}
	t.Fatalf("the watch ended before %q: %v", last, lines.Err())
}

func putValue(t *testing.T, d *Daemon, method, key, value string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+d.httpListener.Addr().String()+"/v1/regions/shop/keys/"+key, strings.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, key, resp.Status)
	}
}

// A watch goes on through restarts of the daemon: nothing is missing, nothing is told twice.
func TestAWatchGoesOnThroughRestarts(t *testing.T) {
	t.Parallel()
	cfg := configIn(t.TempDir())
	var w watched
	var want []string
	n := 0
	for round := range 3 {
		d := openIn(t, cfg)
		for i := range 5 {
			n++
			value := fmt.Sprint(n)
			putValue(t, d, "PUT", fmt.Sprint("k", n), `{"value":"`+value+`"}`)
			want = append(want, value)
			if i == 2 {
				w.hear(t, d, value)
			}
		}
		if round == 1 {
			gone := "k" + w.told[0] // of one that was never told nothing is to be told
			putValue(t, d, "DELETE", gone, "")
			want = append(want, gone+" is gone")
		}
		http.DefaultClient.CloseIdleConnections()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d := openIn(t, cfg)
	w.hear(t, d, "")
	http.DefaultClient.CloseIdleConnections()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(w.told) // within one catching up they come in no order
	if slices.Sort(want); !slices.Equal(w.told, want) {
		t.Errorf("told %q\nwant %q", w.told, want)
	}
}
