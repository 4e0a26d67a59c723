package resp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/test/bubble"
)

// pipeListener hands out connections in memory, so that a test can run in virtual time.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

// gatedStorage is a disk whose commits wait for the gate and may fail.
type gatedStorage struct {
	mu   sync.Mutex
	gate chan struct{} // closed: commits pass
	fail error
	recs int
}

func (s *gatedStorage) Load(func(key, value []byte) error) error { return nil }
func (s *gatedStorage) Close() error                             { return nil }

func (s *gatedStorage) NewIncarnation(context.Context, crdt.NodeID, uint32) (crdt.Nonce, error) {
	return crdt.Nonce{1}, nil
}

func (s *gatedStorage) Commit(recs []crdt.Record) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	<-gate
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.recs += len(recs)
	}
	return s.fail
}

func (s *gatedStorage) set(gate chan struct{}, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate, s.fail = gate, fail
}

func passing() chan struct{} {
	gate := make(chan struct{})
	close(gate)
	return gate
}

// received collects what a connection delivers, so that a test can look at it without waiting.
type received struct {
	mu   sync.Mutex
	text strings.Builder
	done chan error
}

func collect(conn net.Conn) *received {
	r := &received{done: make(chan error, 1)}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			r.mu.Lock()
			r.text.Write(buf[:n])
			r.mu.Unlock()
			if err != nil {
				r.done <- err
				return
			}
		}
	}()
	return r
}

func (r *received) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// inBubble runs a server on pipes in virtual time. Storage may be nil.
func inBubble(t *testing.T, storage fabric.Storage, limits Limits, test func(t *testing.T, s *Server, l *pipeListener)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		f, err := fabric.Open(t.Context(), fabric.Config{Name: "test", Storage: storage})
		if err != nil {
			t.Fatal(err)
		}
		if storage != nil {
			if _, err := f.CreateRegion(t.Context(), "durable", fabric.RegionConfig{Ack: fabric.AckDisk}); err != nil {
				t.Fatal(err)
			}
		}
		l := newPipeListener()
		s, err := New(Config{Listener: l, Fabric: f, Limits: limits, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		test(t, s, l)
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := f.Close(); err != nil && storage == nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func write(t *testing.T, conn net.Conn, raw string) {
	t.Helper()
	if _, err := conn.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
}

func TestRepliesWaitForTheDisk(t *testing.T) {
	t.Parallel()
	disk := &gatedStorage{gate: passing()}
	inBubble(t, disk, Limits{}, func(t *testing.T, s *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		got := collect(conn)
		write(t, conn, encode("SELECT", "durable"))
		synctest.Wait()
		gate := make(chan struct{})
		disk.set(gate, nil)
		write(t, conn, encode("SET", "a", "1")+encode("INCR", "n")+encode("GET", "a")+encode("SADD", "s", "m"))
		synctest.Wait()
		if got.String() != "+OK\r\n" {
			t.Fatalf("before the disk: %q", got)
		}
		close(gate)
		synctest.Wait()
		if want := "+OK\r\n+OK\r\n:1\r\n$1\r\n1\r\n:1\r\n"; got.String() != want {
			t.Fatalf("%q, want %q", got, want)
		}
		if st := s.Stats(); st.AckWaits != 1 || st.FailedAcks != 0 {
			t.Errorf("%d waits for one pipeline", st.AckWaits)
		}
	})
}

func TestFailedDiskIsNeverAnOK(t *testing.T) {
	t.Parallel()
	disk := &gatedStorage{gate: passing()}
	inBubble(t, disk, Limits{}, func(t *testing.T, s *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		got := collect(conn)
		write(t, conn, encode("SELECT", "durable")+encode("SET", "a", "0"))
		synctest.Wait()
		disk.set(passing(), errors.New("disk full"))
		write(t, conn, encode("SET", "a", "1")+encode("GET", "a")+encode("SELECT", "default")+encode("SET", "b", "1")+encode("SELECT", "durable")+encode("HSET", "h", "f", "v"))
		synctest.Wait()
		parts := strings.Split(got.String(), "\r\n")
		if len(parts) != 10 || !strings.HasPrefix(parts[2], "-ERR the write is in memory but was not acknowledged: ") || !strings.Contains(parts[2], "disk full") ||
			parts[4] != "1" || parts[5] != "+OK" || parts[6] != "+OK" || parts[7] != "+OK" || !strings.HasPrefix(parts[8], "-ERR the write is in memory") {
			t.Fatalf("%q", parts)
		}
		if st := s.Stats(); st.FailedAcks != 2 {
			t.Errorf("%d failed acknowledgements", st.FailedAcks)
		}
		disk.set(passing(), nil)
	})
}

func TestSuppressedRepliesStaySuppressedWhenTheDiskFails(t *testing.T) {
	t.Parallel()
	disk := &gatedStorage{gate: passing()}
	inBubble(t, disk, Limits{}, func(t *testing.T, _ *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		got := collect(conn)
		write(t, conn, encode("SELECT", "durable"))
		synctest.Wait()
		disk.set(passing(), errors.New("disk full"))
		write(t, conn, encode("CLIENT", "REPLY", "SKIP")+encode("SET", "a", "1")+encode("PING"))
		synctest.Wait()
		if got.String() != "+OK\r\n+PONG\r\n" {
			t.Fatalf("%q", got)
		}
		disk.set(passing(), nil)
	})
}

func TestSlowReaderIsClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{}, func(t *testing.T, s *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		write(t, conn, encode("PING"))
		time.Sleep(writeStallMax - time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Clients != 1 || st.Stalled != 0 {
			t.Fatalf("closed too early: %+v", st)
		}
		time.Sleep(2*pulsePeriod + time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Clients != 0 || st.Stalled != 1 {
			t.Fatalf("a client that reads nothing is still there: %+v", st)
		}
	})
}

func TestHalfOpenClientIsClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{Idle: time.Hour}, func(t *testing.T, s *Server, l *pipeListener) {
		within, idle := l.dial(), l.dial()
		defer func() { _, _ = within.Close(), idle.Close() }()
		write(t, within, "*2\r\n$3\r\nGET\r\n$10\r\nabc")
		time.Sleep(readStallMax + 2*pulsePeriod)
		synctest.Wait()
		if st := s.Stats(); st.Clients != 1 || st.Stalled != 1 {
			t.Fatalf("after %v: %+v", readStallMax+2*pulsePeriod, st)
		}
		if _, err := within.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the client within a command sees %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if st := s.Stats(); st.Clients != 0 || st.Stalled != 2 {
			t.Fatalf("after an hour: %+v", st)
		}
	})
}

func TestStoppingAnswersWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	disk := &gatedStorage{gate: passing()}
	bubble.Test(t, func(t *testing.T) {
		f, err := fabric.Open(t.Context(), fabric.Config{Name: "test", Storage: disk})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.CreateRegion(t.Context(), "durable", fabric.RegionConfig{Ack: fabric.AckDisk}); err != nil {
			t.Fatal(err)
		}
		l := newPipeListener()
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, Config{Listener: l, Fabric: f}) }()
		busy, idle := l.dial(), l.dial()
		got, rest := collect(busy), collect(idle)
		write(t, busy, encode("SELECT", "durable"))
		synctest.Wait()
		gate := make(chan struct{})
		disk.set(gate, nil)
		write(t, busy, encode("SET", "a", "1"))
		synctest.Wait()
		stop()
		if err := <-rest.done; !errors.Is(err, io.EOF) {
			t.Errorf("the idle client sees %v", err)
		}
		close(gate)
		if err := <-served; err != nil {
			t.Error(err)
		}
		<-got.done
		if got.String() != "+OK\r\n+OK\r\n" {
			t.Errorf("%q", got)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestExpiryAtTheInstant(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{}, func(t *testing.T, _ *Server, l *pipeListener) {
		conn := l.dial()
		defer func() { _ = conn.Close() }()
		got := collect(conn)
		ask := func(want string, lines ...string) {
			t.Helper()
			before := len(got.String())
			for _, line := range lines {
				write(t, conn, line+"\r\n")
			}
			synctest.Wait()
			if text := got.String()[before:]; text != want {
				t.Errorf("%q: %q, want %q", lines, text, want)
			}
		}
		ask("+OK\r\n:1500\r\n:2\r\n", "SET k v PX 1500", "PTTL k", "TTL k")
		time.Sleep(1499 * time.Millisecond)
		ask(":1\r\n$1\r\nv\r\n:0\r\n", "PTTL k", "GET k", "TTL k")
		time.Sleep(time.Millisecond)
		ask(":-2\r\n$-1\r\n:0\r\n+none\r\n*0\r\n", "PTTL k", "GET k", "EXISTS k", "TYPE k", "KEYS *")
		ask(":1\r\n:1\r\n:1\r\n:-1\r\n", "HSET h f 1", "PEXPIRE h 10", "PERSIST h", "TTL h")
		ask(":1\r\n:1\r\n", "SADD s m", "EXPIRE s 1")
		time.Sleep(time.Second)
		ask(":1\r\n*1\r\n$1\r\nn\r\n:-1\r\n", "SADD s n", "SMEMBERS s", "TTL s")
	})
}
