// Package httpd serves health and metrics over HTTP.
//
//	/          what is here, as plain text
//	/healthz   200 while the process serves at all: restart it if this fails
//	/readyz    200 once the checkpoint is loaded and the listeners are up, else 503 with the reason;
//	           it never depends on peers, because an edge without a network is healthy
//	/metrics   Prometheus text, and OpenMetrics for those who ask
//
// Beyond loopback all but the two health checks need "Authorization: Bearer TOKEN"; probes of
// orchestrators carry none, and learn nothing but one word.
//
// Bounds: maxConns connections, 16 KiB of headers, no bodies, and a time for each phase of a request.
package httpd

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

const (
	// maxConns bounds open connections; more wait in the kernel's backlog.
	maxConns       = 128
	maxHeaderBytes = 16 << 10
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 60 * time.Second
	// maxScrapes bounds concurrent scrapes; one more is told 503.
	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
)

// Config says what to serve.
type Config struct {
	Listener net.Listener        // owned by the server from now on
	Token    string              // bearer token; "" asks for none
	Ready    func() error        // nil once ready, else the reason
	Gatherer prometheus.Gatherer // for /metrics
	About    func() []string     // lines of the index
	Logger   *slog.Logger
}

// Server is one HTTP server.
type Server struct {
	http *http.Server
	done chan struct{} // closed when Serve has returned
}

// Serve starts serving. Close ends it.
func Serve(c Config) *Server {
	s := &Server{done: make(chan struct{}), http: &http.Server{
		Handler:           routes(c),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(netutil.LimitListener(c.Listener, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			c.Logger.Error("HTTP stopped", "err", err)
		}
	}()
	return s
}

// Close lets requests under way finish until ctx ends, then cuts them, and waits.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}

func routes(c Config) http.Handler {
	metrics := promhttp.HandlerFor(c.Gatherer, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout, EnableOpenMetrics: true,
		ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn),
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", readyz(c.Ready))
	mux.Handle("GET /metrics", guarded(c.Token, metrics))
	mux.Handle("GET /{$}", guarded(c.Token, index(c.About)))
	return mux
}

func readyz(ready func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			plain(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		plain(w, http.StatusOK, "ready")
	}
}

func index(about func() []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, strings.Join(append(about(), "", "/healthz  /readyz  /metrics"), "\n"))
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// guarded asks for the token. Hashing first makes the comparison's time say nothing of its length.
func guarded(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte("Bearer " + token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="edgemem"`)
			plain(w, http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		next.ServeHTTP(w, r)
	})
}
