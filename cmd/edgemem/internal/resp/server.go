package resp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers Redis clients. It is used once: New, then Serve.
type Server struct {
	cfg    Config
	limits Limits
	log    *slog.Logger
	table  *table
	stats  counters
	start  time.Time
	runID  string

	nextID   atomic.Int64
	buffered atomic.Int64 // bytes of query and reply buffers beyond their first part

	hub      hub
	feeds    feeds
	queues   waitQueues
	monitors monitors
	tracking tracking
	slowlog  slowlog
	latency  latency
	acl      *acl
	places   places // of readers of streams
	loops    loops
	notify   atomic.Uint32 // notifySet

	mu      sync.Mutex
	clients map[int64]*client
	closing bool
	wg      sync.WaitGroup

	// ackCtx ends when writes that are still waiting for their acknowledgement must give up.
	ackCtx  context.Context
	giveUp  context.CancelFunc
	pulseMu sync.Mutex
	pulse   *time.Timer // runs while there are clients; see sweep
}

// New checks cfg and prepares a server. It opens nothing.
func New(cfg Config) (*Server, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, limits: cfg.Limits, log: cfg.Logger, table: newTable(),
		start: time.Now(), runID: newRunID(), clients: make(map[int64]*client),
	}
	var err error
	if s.acl, err = openACL(s.table, cfg.ACLFile, cfg.Auth); err != nil {
		return nil, err
	}
	s.feeds.srv = s
	s.places.most = placesBytesServer
	s.queues.changed.L = &s.queues.mu
	s.stats.commands = make([]commandCounters, s.table.size)
	s.ackCtx, s.giveUp = context.WithCancel(context.Background())
	return s, nil
}

// Serve runs a server with cfg until ctx ends, and returns nil then.
func Serve(ctx context.Context, cfg Config) error {
	s, err := New(cfg)
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}

// acceptPauseMax bounds how long accepting pauses after a passing fault such as too many open files.
const acceptPauseMax = time.Second

// Serve accepts clients until ctx ends. It then closes the listener, lets commands under way finish
// within Limits.Drain, and returns once no goroutine of its own is left.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.cfg.Listener.Close() })
	defer stop()
	s.hub.open(s.cfg.Fabric)
	defer s.hub.close()
	defer s.cfg.Fabric.Answer(awayService, s.answer)()
	defer s.loops.close()
	err := s.accept(ctx)
	_ = s.cfg.Listener.Close()
	s.drain()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("resp: accept on %v: %w", s.cfg.Listener.Addr(), err)
}

func (s *Server) accept(ctx context.Context) error {
	pause := time.Millisecond
	for {
		conn, err := s.cfg.Listener.Accept()
		if err == nil {
			pause = time.Millisecond
			s.admit(conn)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return err
		}
		s.log.Warn("resp: accept failed, pausing", "err", err, "pause", pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

// admit starts a client, or turns it away at the limit.
func (s *Server) admit(conn net.Conn) {
	s.stats.connections.Add(1)
	keepAlive(conn)
	c := newClient(s, conn, s.nextID.Add(1))
	joined := c.join()
	if !s.register(c) {
		s.stats.rejected.Add(1)
		turnAway(conn)
		return
	}
	if joined {
		c.enter(stateIdle)
		c.home.loop.listen(c)
		return
	}
	go func() {
		defer s.wg.Done()
		c.serve()
	}()
}

// register adds c unless the server is full or closing. The caller runs it; it unregisters itself.
func (s *Server) register(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.clients) >= s.limits.Clients {
		return false
	}
	s.clients[c.id] = c
	s.wg.Add(1)
	if len(s.clients) == 1 {
		s.startPulse()
	}
	return true
}

func (s *Server) unregister(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c.id)
	if len(s.clients) == 0 {
		s.stopPulse()
	}
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// snapshot returns the clients of this moment in the order in which they came.
func (s *Server) snapshot() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sortedByID(s.clients)
}

// turnAwayWait bounds the courtesy of telling a client why it is turned away: the line fits any socket
// buffer, so a longer wait means that nobody reads.
const turnAwayWait = 100 * time.Millisecond

func turnAway(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(turnAwayWait))
	_, _ = conn.Write([]byte("-ERR max number of clients reached\r\n"))
	_ = conn.Close()
}

// keepAlivePeriod is Redis's default for noticing a peer that has vanished.
const keepAlivePeriod = 300 * time.Second

func keepAlive(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
			Enable: true, Idle: keepAlivePeriod, Interval: keepAlivePeriod / 3, Count: 3,
		})
	}
}

// drain ends every client: one that waits for input at once, one within a command when it is done, and
// all of them, with the writes that wait for an acknowledgement, after Limits.Drain.
func (s *Server) drain() {
	s.mu.Lock()
	s.closing = true
	clients := sortedByID(s.clients)
	s.mu.Unlock()
	now := time.Now()
	for _, c := range clients {
		_ = c.conn.SetReadDeadline(now)
		_ = c.conn.SetWriteDeadline(now.Add(s.limits.Drain))
		c.stopReading()
	}
	late := time.AfterFunc(s.limits.Drain, s.giveUp)
	s.wg.Wait()
	late.Stop()
	s.feeds.close()
	s.giveUp()
}
