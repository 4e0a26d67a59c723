package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// gate bounds what requests take at once. Who comes too much is told to come back, and costs nothing meanwhile.
type gate struct {
	next http.Handler

	mu       sync.Mutex
	requests int
	bodies   int64

	closing sync.RWMutex // held for reading by who enters under
	closed  bool
	under   sync.WaitGroup // requests under way
	ctx     context.Context
	cancel  context.CancelFunc
}

func newGate(next http.Handler) *gate {
	g := &gate{next: next}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// closeGrace is how long answers under way may take to be written when the node closes.
const closeGrace = 500 * time.Millisecond

// Close ends watches, has requests under way finish soon, and waits for them. Others are told that the node is closing.
func (g *gate) Close() error {
	g.closing.Lock()
	g.closed = true
	g.closing.Unlock()
	g.cancel()
	g.under.Wait()
	return nil
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.begin() {
		refuse(w, "closing", "this node is closing")
		return
	}
	defer g.under.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.ctx, func() {
		cancel()
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(closeGrace)) // not every writer of tests has one
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(closeGrace))
	})()
	r = r.WithContext(ctx)
	if isWatch(r) { // counted by itself
		g.next.ServeHTTP(w, r)
		return
	}
	bytes := bodyCost(r)
	if !g.enter(bytes) {
		refuse(w, "busy", "this node has as many requests under way as it takes")
		return
	}
	defer g.leave(bytes)
	g.next.ServeHTTP(w, r)
}

func (g *gate) begin() bool {
	g.closing.RLock()
	defer g.closing.RUnlock()
	if !g.closed {
		g.under.Add(1)
	}
	return !g.closed
}

// isWatch reports whether the path is /v1/regions/{region}/watch.
func isWatch(r *http.Request) bool {
	parts := strings.Split(r.URL.EscapedPath(), "/")
	return r.Method == http.MethodGet && len(parts) == 5 && parts[4] == "watch"
}

// bodyCost is what the body of a request may take.
func bodyCost(r *http.Request) int64 {
	if r.ContentLength >= 0 {
		return min(r.ContentLength, batchBodyMax)
	}
	return batchBodyMax
}

func (g *gate) enter(bytes int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.requests >= requestsMax || g.bodies+bytes > bodiesMax {
		return false
	}
	g.requests++
	g.bodies += bytes
	return true
}

func (g *gate) leave(bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests--
	g.bodies -= bytes
}

// refuse answers outside of the handlers.
func refuse(w http.ResponseWriter, name, detail string) {
	w.Header().Set("Retry-After", retryAfter)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = huma.DefaultJSONFormat.Marshal(w, problem(http.StatusServiceUnavailable, name, detail))
}
