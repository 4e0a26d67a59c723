package httpd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/api"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/test/bubble"
)

// pipes is a listener in memory, so that time limits pass in virtual time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	mine, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
	case <-time.After(time.Minute):
		t.Fatal("the server takes no connection")
	}
	return mine
}

// served is a node with HTTP in a bubble.
type served struct {
	*pipes
	f      *fabric.Fabric
	region *fabric.Region
	h      *api.Handler
	s      *Server
}

func inBubble(t *testing.T, token string, test func(t *testing.T, n *served)) {
	bubble.Test(t, func(t *testing.T) {
		f, err := fabric.Open(t.Context(), fabric.Config{Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.Region("shop")
		if err != nil {
			t.Fatal(err)
		}
		n := &served{newPipes(), f, r, api.New(api.Config{Fabric: f}), nil}
		n.s = Serve(Config{Listener: n.pipes, Token: token, Gatherer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
			Ready: func() error { return nil }, About: func() []string { return nil }, API: func() http.Handler { return n.h }})
		test(t, n)
		if err := errors.Join(n.h.Close(), f.Close()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

// raw writes a request as it is, and gives the answer when it comes.
func (n *served) raw(t *testing.T, request string, body io.Reader) *http.Response {
	t.Helper()
	c := n.dial(t)
	go func() {
		_, _ = io.WriteString(c, request)
		if body != nil {
			_, _ = io.Copy(c, body)
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return resp
}

func get(path string, headers ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(headers, "", ""), "\r\n")
}

func TestSlowBodiesAndHugeHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T, n *served) {
		put := "PUT /v1/regions/shop/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"value\":"
		began := time.Now()
		c := n.dial(t)
		go func() { _, _ = io.WriteString(c, put) }()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestTimeout || time.Since(began) > 11*time.Second {
			t.Errorf("a body that does not come: %v, %v after %v", resp, err, time.Since(began))
		}
		_ = c.Close()
		c = n.dial(t)
		go func() { _, _ = io.WriteString(c, "GET /v1/regions HTTP/1.1\r\nHost: loc") }()
		began = time.Now()
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil || time.Since(began) > 6*time.Second {
			t.Errorf("headers that do not come: %v after %v", err, time.Since(began))
		}
		_ = c.Close()
		resp = n.raw(t, get("/v1/regions", "X-Huge: "+strings.Repeat("x", 64<<10)), nil)
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("huge headers: %s", resp.Status)
		}
		if resp := n.raw(t, get("/v1/regions"), nil); resp.StatusCode != http.StatusOK {
			t.Errorf("afterwards: %s", resp.Status)
		}
	})
}

// A thousand watches hear a change, one more than are served is told to come back, and the node answers others meanwhile.
func TestAThousandWatches(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T, n *served) {
		const watches = 1024
		heard := make(chan error, watches)
		for range watches {
			c := n.dial(t)
			defer c.Close()
			go func() {
				go func() { _, _ = io.WriteString(c, get("/v1/regions/shop/watch")) }()
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err == nil {
					err = hear(resp.Body, "caught-up", "entry")
				}
				heard <- err
			}()
		}
		synctest.Wait()
		if resp := n.raw(t, get("/v1/regions/shop/watch"), nil); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("one too many: %s", resp.Status)
		}
		if resp := n.raw(t, get("/v1/regions"), nil); resp.StatusCode != http.StatusOK {
			t.Errorf("beside the watches: %s", resp.Status)
		}
		if err := fabric.RegisterOf[string](n.region, "k").Set(t.Context(), "v"); err != nil {
			t.Fatal(err)
		}
		for range watches {
			if err := <-heard; err != nil {
				t.Fatal(err)
			}
		}
	})
}

// hear reads lines of NDJSON and compares the kinds of event, pulses left out.
func hear(body io.Reader, kinds ...string) error {
	lines := bufio.NewScanner(body)
	for i := 0; i < len(kinds); {
		if !lines.Scan() {
			return fmt.Errorf("ended before %s: %w", kinds[i], lines.Err())
		}
		var ev api.WatchEvent
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			return err
		}
		if ev.Event == "pulse" {
			continue
		}
		if ev.Event != kinds[i] {
			return fmt.Errorf("heard %s, want %s", ev.Event, kinds[i])
		}
		i++
	}
	return nil
}

// A watch lives as long as its client takes what it is told, and not longer.
func TestWatchesOutliveTimeLimitsAndStalledOnesAreCutOff(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T, n *served) {
		resp := n.raw(t, get("/v1/regions/shop/watch"), nil)
		heard := make(chan error, 1)
		go func() { heard <- hear(resp.Body, "caught-up", "entry") }()
		time.Sleep(5 * time.Minute)
		if err := fabric.RegisterOf[string](n.region, "k").Set(t.Context(), "v"); err != nil {
			t.Fatal(err)
		}
		if err := <-heard; err != nil {
			t.Error(err)
		}
		stalled := n.dial(t)
		go func() { _, _ = io.WriteString(stalled, get("/v1/regions/shop/watch")) }()
		time.Sleep(2 * time.Minute) // it reads nothing
		if _, err := io.ReadAll(stalled); err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("a stalled watch ended with %v", err)
		}
	})
}

// The node closes at once although watches are open, and tells them why.
func TestClosingEndsWatches(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T, n *served) {
		resp := n.raw(t, get("/v1/regions/shop/watch", "Accept: text/event-stream"), nil)
		began := time.Now()
		done := make(chan []byte, 1)
		go func() { all, _ := io.ReadAll(resp.Body); done <- all }()
		synctest.Wait()
		if err := n.h.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("closed after %v with %v", time.Since(began), err)
		}
		all := <-done
		if !bytes.Contains(all, []byte("event: caught-up\ndata: {")) || !bytes.Contains(all, []byte("id: ")) {
			t.Errorf("server-sent events: %q", all)
		}
		if resp := n.raw(t, get("/v1/regions"), nil); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a request while it closes: %s", resp.Status)
		}
	})
}

func TestTheAPIIsGuarded(t *testing.T) {
	t.Parallel()
	inBubble(t, "sesame", func(t *testing.T, n *served) {
		if resp := n.raw(t, get("/v1/regions"), nil); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("without the token: %s", resp.Status)
		}
		if resp := n.raw(t, strings.Replace(get("/v1/regions", "Authorization: Bearer sesame", "Origin: http://shop.example"), "localhost", "node.example", 1), nil); resp.StatusCode != http.StatusOK {
			t.Errorf("with the token: %s", resp.Status)
		}
	})
	inBubble(t, "", func(t *testing.T, n *served) {
		for _, x := range []struct {
			host, origin string
			want         int
		}{
			{"localhost", "", 200}, {"127.0.0.1:7380", "", 200}, {"[::1]:7380", "", 200}, {"localhost:7380", "http://localhost:7380", 200},
			{"rebound.example", "", 403}, {"localhost:7380", "http://evil.example", 403}, {"localhost:7380", "null", 403},
		} {
			request := strings.Replace(get("/v1/regions"), "localhost", x.host, 1)
			if x.origin != "" {
				request = strings.Replace(request, "\r\n\r\n", "\r\nOrigin: "+x.origin+"\r\n\r\n", 1)
			}
			if resp := n.raw(t, request, nil); resp.StatusCode != x.want {
				t.Errorf("Host %s, Origin %s: %s, want %d", x.host, x.origin, resp.Status, x.want)
			}
		}
	})
}
