// Package httpd serves health, metrics and the API over HTTP.
//
//	/          what is here, as plain text
//	/v1/       the API, see package api
//	/healthz   200 while the process serves at all: restart it if this fails
//	/readyz    200 once the checkpoint is loaded and the listeners are up, else 503 with the reason;
//	           it never depends on peers, because an edge without a network is healthy
//	/metrics   Prometheus text, and OpenMetrics for those who ask
//
// Beyond loopback all but the two health checks need "Authorization: Bearer TOKEN"; probes of
// orchestrators carry none, and learn nothing but one word.
//
// Without a token the API answers only who calls this machine by a name or address of its own, and pages of it: a page from
// elsewhere in a browser on this machine can neither reach it by a name of its making nor post to it.
//
// Bounds: maxConns connections, maxHeaderBytes of headers, and a time for each phase of a request; the API sets its own for bodies and watches.
package httpd

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

const (
	// maxConns bounds open connections; more wait in the kernel's backlog.
	maxConns       = 1280     // of which the API takes 1,024 for watches
	maxHeaderBytes = 48 << 10 // two tokens of 16 KiB and what else there is
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
	API      func() http.Handler // for /v1/; nil as long as there is none
	TLS      *tls.Config         // nil: plain HTTP
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
	l := netutil.LimitListener(c.Listener, maxConns)
	if c.TLS != nil {
		l = tls.NewListener(l, c.TLS)
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
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
	if c.API != nil {
		mux.Handle("/v1/", guarded(c.Token, ownPages(c, serveAPI(c.API))))
	}
	return mux
}

func serveAPI(api func() http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := api()
		if h == nil {
			w.Header().Set("Retry-After", "1")
			plain(w, http.StatusServiceUnavailable, "starting")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// ownPages refuses, where no token is asked for, what a page from elsewhere may have sent from a browser on this machine.
func ownPages(c Config, next http.Handler) http.Handler {
	if c.Token != "" || c.Listener.Addr().Network() == "unix" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if !isLocal(r.Host) || origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host {
			plain(w, http.StatusForbidden, "the API answers to localhost and its own pages only, unless a token is set")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether a Host names this machine: an address, which no foreign page can have led here, or localhost.
func isLocal(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	_, err = netip.ParseAddr(name)
	return name == "localhost" || err == nil
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
		plain(w, http.StatusOK, strings.Join(append(about(), "", "/healthz  /readyz  /metrics  /v1/openapi.json"), "\n"))
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
