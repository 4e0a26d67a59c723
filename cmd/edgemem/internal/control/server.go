package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/edgemem/edgemem/crdt"
)

const (
	// maxConns bounds the commands and watches at one time; more wait in the kernel's backlog.
	maxConns = 256
	// maxJSONBytes bounds a request's JSON body.
	maxJSONBytes = 1 << 20
	// maxHeaderBytes holds the longest key, percent-encoded in the query, and room for the rest.
	maxHeaderBytes = 3*crdt.MaxKeyBytes + 16<<10
	// headerTimeout bounds how long a connection may take to say what it wants.
	headerTimeout = 5 * time.Second
	// watchStall ends a watch whose reader takes nothing for so long.
	watchStall = 30 * time.Second
)

// Server answers commands on one listener.
type Server struct {
	backend Backend
	log     *slog.Logger
	http    *http.Server
	done    chan struct{} // closed when Serve has returned

	mu      sync.Mutex
	closing bool
	calls   sync.WaitGroup // requests under way; none is added once closing
}

// Serve starts answering on l, which the server owns from now on. Close ends it.
func Serve(l net.Listener, b Backend, log *slog.Logger) *Server {
	s := &Server{backend: b, log: log, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.counted(s.routes()),
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(netutil.LimitListener(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("control socket stopped", "err", err)
		}
	}()
	return s
}

// counted lets Close wait for requests, which http.Server.Close does not.
func (s *Server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			return
		}
		defer s.calls.Done()
		next.ServeHTTP(w, r)
	})
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.calls.Add(1)
	}
	return !s.closing
}

// Close stops listening, cancels what is under way, and waits until none of it uses the backend.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	err := s.http.Close()
	<-s.done
	s.calls.Wait()
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { reply(w, s.backend.Status(), nil) })
	mux.HandleFunc("POST /v1/invite", s.invite)
	mux.HandleFunc("POST /v1/offline", s.setOffline(true))
	mux.HandleFunc("POST /v1/online", s.setOffline(false))
	mux.HandleFunc("POST /v1/nodes/{node}/retire", s.retire)
	mux.HandleFunc("POST /v1/alarms/{kind}/clear", s.clearAlarms)
	mux.HandleFunc("POST /v1/scrub", s.scrub)
	mux.HandleFunc("POST /v1/backup", s.backup)
	mux.HandleFunc("POST /v1/checkpoint", s.checkpoint)
	mux.HandleFunc("GET /v1/doctor", s.doctor)
	mux.HandleFunc("POST /v1/regions", s.createRegion)
	mux.HandleFunc("GET /v1/regions/{region}", s.showRegion)
	mux.HandleFunc("GET /v1/regions/{region}/usage", s.regionUsage)
	mux.HandleFunc("DELETE /v1/regions/{region}", s.deleteRegion)
	mux.HandleFunc("PUT /v1/regions/{region}/copy", s.moveCopy)
	mux.HandleFunc("POST /v1/regions/{region}/explain", s.explainRegion)
	mux.HandleFunc("DELETE /v1/regions/{region}/copy", s.moveCopy)
	mux.HandleFunc("GET /v1/regions/{region}/entry", s.get)
	mux.HandleFunc("PUT /v1/regions/{region}/entry", s.set)
	mux.HandleFunc("POST /v1/regions/{region}/delete", s.delete)
	mux.HandleFunc("POST /v1/regions/{region}/increment", s.increment)
	mux.HandleFunc("GET /v1/regions/{region}/watch", s.watch)
	mux.HandleFunc("POST /v1/regions/{region}/lease", s.lease)
	mux.HandleFunc("GET /v1/voters", func(w http.ResponseWriter, r *http.Request) { reply(w, s.backend.Voters(), nil) })
	mux.HandleFunc("PUT /v1/voters", s.setVoters)
	return mux
}

func (s *Server) lease(w http.ResponseWriter, r *http.Request) {
	var call LeaseCall
	if !readJSON(w, r, &call) {
		return
	}
	x, err := s.backend.Lease(r.Context(), r.PathValue("region"), r.URL.Query().Get("name"), call)
	reply(w, x, err)
}

func (s *Server) setVoters(w http.ResponseWriter, r *http.Request) {
	var nodes []string
	if !readJSON(w, r, &nodes) {
		return
	}
	v, err := s.backend.SetVoters(r.Context(), nodes)
	reply(w, v, err)
}

func (s *Server) invite(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	ttl, err := time.ParseDuration(q.Get("ttl"))
	if err != nil || ttl <= 0 {
		fail(w, fmt.Errorf("%w: ttl %q: want a time such as 15m", ErrInvalid, q.Get("ttl")))
		return
	}
	uses, err := strconv.Atoi(q.Get("uses"))
	if err != nil || uses < 1 {
		fail(w, fmt.Errorf("%w: uses %q: want a number above 0", ErrInvalid, q.Get("uses")))
		return
	}
	inv, err := s.backend.Invite(ttl, uses)
	reply(w, inv, err)
}

func (s *Server) setOffline(offline bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := s.backend.SetOffline(r.Context(), offline)
		reply(w, offlineReply{offline}, err)
	}
}

type offlineReply struct {
	Offline bool `json:"offline"`
}

type retireReply struct {
	ID      string `json:"id"`
	Retired bool   `json:"retired"`
}

func (s *Server) retire(w http.ResponseWriter, r *http.Request) {
	var how Retire
	if !readJSON(w, r, &how) {
		return
	}
	id, err := s.backend.RetireNode(r.Context(), r.PathValue("node"), how)
	reply(w, retireReply{id, !how.Undo}, err)
}

type clearedReply struct {
	Cleared int `json:"cleared"`
}

func (s *Server) clearAlarms(w http.ResponseWriter, r *http.Request) {
	n, err := s.backend.ClearAlarms(r.Context(), r.PathValue("kind"), r.URL.Query().Get("node"))
	reply(w, clearedReply{n}, err)
}

func (s *Server) scrub(w http.ResponseWriter, r *http.Request) {
	rep, err := s.backend.Scrub(r.Context(), r.URL.Query().Get("region"))
	reply(w, rep, err)
}

type createRequest struct {
	Name string `json:"name"`
	RegionOptions
}

func (s *Server) createRegion(w http.ResponseWriter, r *http.Request) {
	var req createRequest
	if !readJSON(w, r, &req) {
		return
	}
	region, err := s.backend.CreateRegion(r.Context(), req.Name, req.RegionOptions)
	reply(w, region, err)
}

func (s *Server) showRegion(w http.ResponseWriter, r *http.Request) {
	region, err := s.backend.ShowRegion(r.PathValue("region"))
	reply(w, region, err)
}

func (s *Server) regionUsage(w http.ResponseWriter, r *http.Request) {
	usage, err := s.backend.RegionUsage(r.Context(), r.PathValue("region"))
	reply(w, usage, err)
}

func (s *Server) deleteRegion(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("region")
	err := s.backend.DeleteRegion(r.Context(), name)
	reply(w, deletedReply{Deleted: 1}, err)
}

// moveCopy has this node hold a region, or give its copy up.
func (s *Server) moveCopy(w http.ResponseWriter, r *http.Request) {
	region, err := s.backend.MoveCopy(r.Context(), r.PathValue("region"), r.Method == http.MethodDelete)
	reply(w, region, err)
}

type explainRequest struct {
	Try *RegionOptions `json:"try,omitempty"` // what would move
}

func (s *Server) explainRegion(w http.ResponseWriter, r *http.Request) {
	var req explainRequest
	if !readJSON(w, r, &req) {
		return
	}
	x, err := s.backend.ExplainRegion(r.Context(), r.PathValue("region"), req.Try)
	reply(w, x, err)
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	e, err := s.backend.Get(r.Context(), r.PathValue("region"), r.URL.Query().Get("key"))
	reply(w, e, err)
}

func (s *Server) set(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, crdt.MaxValueBytes))
	if err != nil {
		fail(w, fmt.Errorf("%w: a value has at most %d bytes", ErrInvalid, crdt.MaxValueBytes))
		return
	}
	err = s.backend.Set(r.Context(), r.PathValue("region"), r.URL.Query().Get("key"), value)
	reply(w, struct{}{}, err)
}

type deleteRequest struct {
	Keys [][]byte `json:"keys"` // base64 in JSON, so that any bytes may be a key
}

type deletedReply struct {
	Deleted int `json:"deleted"`
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request) {
	var req deleteRequest
	if !readJSON(w, r, &req) {
		return
	}
	keys := make([]string, len(req.Keys))
	for i, k := range req.Keys {
		keys[i] = string(k)
	}
	n, err := s.backend.Delete(r.Context(), r.PathValue("region"), keys)
	reply(w, deletedReply{n}, err)
}

type incrementReply struct {
	Value int64 `json:"value"`
}

func (s *Server) increment(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	by, err := strconv.ParseInt(q.Get("by"), 10, 64)
	if err != nil {
		fail(w, fmt.Errorf("%w: by %q is no 64-bit integer", ErrInvalid, q.Get("by")))
		return
	}
	n, err := s.backend.Increment(r.Context(), r.PathValue("region"), q.Get("key"), by)
	reply(w, incrementReply{n}, err)
}

// watch streams one JSON object a line; the last may be an error. The headers go out once the watch is
// in place, so a client that has them misses nothing that comes after.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events, err := s.backend.Watch(ctx, r.PathValue("region"), r.URL.Query().Get("prefix"))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	if flush.Flush() != nil {
		return
	}
	enc := json.NewEncoder(w)
	for ev, err := range events {
		if err != nil {
			_ = enc.Encode(errorBody(err)) // the client has gone if this fails
			return
		}
		_ = flush.SetWriteDeadline(time.Now().Add(watchStall)) // a unix socket has deadlines
		if enc.Encode(ev) != nil || flush.Flush() != nil {
			return
		}
	}
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSONBytes))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		fail(w, fmt.Errorf("%w: %w", ErrInvalid, err))
		return false
	}
	return true
}

func reply(w http.ResponseWriter, body any, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the client has gone if this fails
}

func fail(w http.ResponseWriter, err error) {
	body := errorBody(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(body.status())
	_ = json.NewEncoder(w).Encode(body)
}
