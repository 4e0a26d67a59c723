package httpd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	url   string
	ready atomic.Pointer[error]
}

func start(t *testing.T, token string) *fixture {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{url: "http://" + l.Addr().String()}
	f.set(nil)
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "edgemem_probe", Help: "Probe."}, func() float64 { return 7 }))
	s := Serve(Config{Listener: l, Token: token, Gatherer: reg, Logger: slog.New(slog.DiscardHandler),
		Ready: func() error { return *f.ready.Load() }, About: func() []string { return []string{"node a"} }})
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) set(err error) { f.ready.Store(&err) }

func (f *fixture) get(t *testing.T, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestReadinessFollowsTheDaemonAndHealthDoesNot(t *testing.T) {
	f := start(t, "")
	if code, _ := f.get(t, "/readyz", ""); code != 200 {
		t.Fatalf("ready daemon: %d", code)
	}
	f.set(errors.New("loading the checkpoint"))
	if code, body := f.get(t, "/readyz", ""); code != 503 || !strings.Contains(body, "loading the checkpoint") {
		t.Fatalf("loading daemon: %d %q", code, body)
	}
	if code, _ := f.get(t, "/healthz", ""); code != 200 {
		t.Fatalf("health of a loading daemon: %d", code)
	}
}

func TestTokenGuardsAllButHealth(t *testing.T) {
	f := start(t, "sesame")
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/healthz", "", 200}, {"/readyz", "", 200},
		{"/metrics", "", 401}, {"/", "", 401}, {"/metrics", "sesam", 401}, {"/metrics", "sesame!", 401},
		{"/metrics", "sesame", 200}, {"/", "sesame", 200}, {"/nothing", "sesame", 404},
	} {
		if code, body := f.get(t, c.path, c.token); code != c.want {
			t.Errorf("%s with token %q: %d %q, want %d", c.path, c.token, code, body, c.want)
		}
	}
}

func TestMetricsAndIndex(t *testing.T) {
	f := start(t, "")
	if _, body := f.get(t, "/metrics", ""); !strings.Contains(body, "edgemem_probe 7") {
		t.Errorf("metrics: %q", body)
	}
	if _, body := f.get(t, "/", ""); !strings.Contains(body, "node a") {
		t.Errorf("index: %q", body)
	}
}
