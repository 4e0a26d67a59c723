package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

func configIn(dir string) config.Config {
	return config.Config{DataDir: dir, Name: "n", Tier: "device", Listen: []string{"/ip4/127.0.0.1/tcp/0"},
		RESP: "127.0.0.1:0", HTTP: "127.0.0.1:0", LogLevel: "error", LogFormat: "text"}
}

func openIn(t *testing.T, cfg config.Config) *Daemon {
	t.Helper()
	d, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpenAndCloseLeaveNothing is not parallel: it looks at all goroutines of the process.
func TestOpenAndCloseLeaveNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	d := openIn(t, configIn(dir))
	addr := d.httpListener.Addr().String()
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(d.Ready(), errClosing) {
		t.Errorf("a closed daemon says %v", d.Ready())
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("HTTP still listens")
	}
	if _, err := os.Lstat(filepath.Join(dir, control.SocketName)); !os.IsNotExist(err) {
		t.Errorf("the control socket is still there: %v", err)
	}
	goleak.VerifyNone(t, before)
}

// TestAFailedOpenReleasesEverything opens the same directory again after each way to fail.
func TestAFailedOpenReleasesEverything(t *testing.T) {
	before := goleak.IgnoreCurrent()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	for name, spoil := range map[string]func(*config.Config){
		"resp":          func(c *config.Config) { c.RESP = taken.Addr().String() },
		"http":          func(c *config.Config) { c.HTTP = taken.Addr().String() },
		"listen":        func(c *config.Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/" + port(t, taken)} },
		"join":          func(c *config.Config) { c.Join = "nonsense" },
		"http-token":    func(c *config.Config) { c.HTTPTokenFile = "/does/not/exist" },
		"resp-password": func(c *config.Config) { c.RESPPasswordFile = "/does/not/exist" },
	} {
		cfg := configIn(dir)
		spoil(&cfg)
		if _, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	d := openIn(t, configIn(dir))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

func port(t *testing.T, l net.Listener) string {
	t.Helper()
	_, p, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOpenAfterTheEndIsAskedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, configIn(t.TempDir()), slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestSystemdIsToldBothWays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	d := openIn(t, configIn(t.TempDir()))
	if got := datagram(t, l); got != "READY=1" {
		t.Errorf("got %q", got)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := datagram(t, l); got != "STOPPING=1" {
		t.Errorf("got %q", got)
	}
}

func datagram(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 100)
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestUnixSocketsServeRedisAndHTTP(t *testing.T) {
	dir := t.TempDir()
	cfg := configIn(filepath.Join(dir, "data"))
	cfg.RESP, cfg.HTTP = "unix:"+filepath.Join(dir, "resp"), "unix:"+filepath.Join(dir, "http")
	d := openIn(t, cfg)
	defer d.Close()
	if got := d.node(); got.RESP != cfg.RESP || got.HTTP != cfg.HTTP {
		t.Errorf("status says %s and %s", got.RESP, got.HTTP)
	}
	c, err := net.Dial("unix", filepath.Join(dir, "resp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "PING\r\n")
	pong := make([]byte, 7)
	if _, err := io.ReadFull(c, pong); err != nil || string(pong) != "+PONG\r\n" {
		t.Fatalf("got %q, %v", pong, err)
	}
	if _, err := listen("resp", cfg.RESP); !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), "taken") {
		t.Errorf("a socket that is served was taken over: %v", err)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	d := openIn(t, configIn(t.TempDir()))
	defer d.Close()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "edgemem_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	resp, err := http.Get("http://" + d.httpListener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(body, []byte("\nedgemem_ready 1\n")) {
		t.Errorf("%v: %s", err, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestEncoded(t *testing.T) {
	t.Parallel()
	text, binary := "plain é", "\xff\x00"
	plain := control.Entry{Key: "k", Value: &text}
	if got := encoded(plain); got.Encoding != "utf-8" || *got.Value != text {
		t.Errorf("text: %+v", got)
	}
	got := encoded(control.Entry{Key: "k", Value: &binary})
	if got.Encoding != "base64" || *got.Value != "/wA=" || got.Key != "aw==" {
		t.Errorf("bytes: %+v, value %q", got, *got.Value)
	}
	got = encoded(control.Entry{Key: "k", Fields: map[string]string{"f": "\xff", "g": "v"}})
	if want := map[string]string{"Zg==": "/w==", "Zw==": "dg=="}; got.Encoding != "base64" || !reflect.DeepEqual(got.Fields, want) {
		t.Errorf("hash: %+v", got)
	}
	got = encoded(control.Entry{Key: "k", Members: []string{"a", "\xff"}})
	if want := []string{"YQ==", "/w=="}; got.Encoding != "base64" || !reflect.DeepEqual(got.Members, want) {
		t.Errorf("set: %+v", got)
	}
}

func TestTheSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	signals, finished := make(chan os.Signal), make(chan struct{})
	told := make(chan string, 2) // both, so that obey never waits
	done := make(chan struct{})
	go func() {
		defer close(done)
		obey(signals, finished, func() { told <- "close" }, func() { told <- "end" })
	}()
	for _, want := range []string{"close", "end"} {
		signals <- os.Interrupt
		if got := <-told; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	<-done
}

func TestNoSignalIsWaitedForAfterTheEnd(t *testing.T) {
	t.Parallel()
	finished := make(chan struct{})
	close(finished)
	unexpected := func() { t.Error("a signal was obeyed that nobody sent") }
	obey(make(chan os.Signal), finished, unexpected, unexpected)
}

func TestRunEndsWithItsContextAndSaysWhenItIsReady(t *testing.T) {
	for format, want := range map[string]string{"text": "edgemem: n is ready: resp=127.0.0.1:", "json": `"msg":"ready"`} {
		cfg := configIn(t.TempDir())
		cfg.LogFormat = format
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		said := make(chan string, 1) // one line is all
		go func() {
			line, _ := bufio.NewReader(r).ReadString('\n')
			said <- line
			cancel()
			io.Copy(io.Discard, r)
		}()
		if err := Run(ctx, cfg, w); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		w.Close()
		if line := <-said; !strings.Contains(line, want) {
			t.Errorf("%s: said %q", format, line)
		}
	}
}
