package resp

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// replayConn delivers one batch of commands again and again, and drops the replies: what is measured is
// the server alone, without the kernel.
type replayConn struct {
	net.Conn
	batch []byte
	left  int // batches to deliver
}

func (c *replayConn) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return copy(b, c.batch), nil
}

func (c *replayConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *replayConn) Close() error                     { return nil }
func (c *replayConn) LocalAddr() net.Addr              { return nil }
func (c *replayConn) RemoteAddr() net.Addr             { return nil }
func (c *replayConn) SetDeadline(time.Time) error      { return nil }
func (c *replayConn) SetReadDeadline(time.Time) error  { return nil }
func (c *replayConn) SetWriteDeadline(time.Time) error { return nil }

// benchPipeline is the number of commands in a batch, as in redis-benchmark -P 16.
const benchPipeline = 16

// benchServer is a server that does not serve, with one entry of each kind.
func benchServer(tb testing.TB) *Server {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	s, err := New(Config{Listener: l, Fabric: testFabric(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func replay(s *Server, batch string, times int) {
	c := newClient(s, &replayConn{batch: []byte(batch), left: times}, s.nextID.Add(1))
	s.register(c)
	c.serve()
	s.wg.Done()
}

// benchLines are the hot commands; %d is a number below benchPipeline.
var benchLines = []struct{ name, line string }{
	{"PING", "PING"},
	{"GET", "GET key:%d"},
	{"SET", "SET key:%d " + strings.Repeat("v", 100)},
	{"INCR", "INCR n:%d"},
	{"SADD", "SADD set member:%d"},
	{"SISMEMBER", "SISMEMBER set member:%d"},
	{"HSET", "HSET hash field:%d value"},
	{"HGET", "HGET hash field:%d"},
	{"EXISTS", "EXISTS key:%d"},
}

func benchBatch(line string) string {
	var batch strings.Builder
	for i := range benchPipeline {
		text := line
		if strings.Contains(line, "%d") {
			text = fmt.Sprintf(line, i)
		}
		batch.WriteString(encode(strings.Fields(text)...))
	}
	return batch.String()
}

func BenchmarkPipeline16(b *testing.B) {
	s := benchServer(b)
	for _, bench := range benchLines { // so that reads find something
		replay(s, benchBatch(bench.line), 1)
	}
	for _, bench := range benchLines {
		batch := benchBatch(bench.line)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			replay(s, batch, (b.N+benchPipeline-1)/benchPipeline)
		})
	}
}

// Reads allocate nothing, and neither does anything that the server itself does for a command. The fabric
// may allocate for each View, of which a pipeline needs one.
func TestReadsDoNotAllocate(t *testing.T) {
	s := benchServer(t)
	for _, bench := range benchLines {
		replay(s, benchBatch(bench.line), 1)
	}
	const times = 1000
	for _, name := range []string{"PING", "GET", "SISMEMBER", "HGET", "EXISTS"} {
		for _, bench := range benchLines {
			if bench.name != name {
				continue
			}
			batch := benchBatch(bench.line)
			perRun := testing.AllocsPerRun(3, func() { replay(s, batch, times) })
			if perCommand := perRun / (times * benchPipeline); perCommand > 2.0/benchPipeline {
				t.Errorf("%s: %.3f allocations a command", name, perCommand)
			}
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	batch := []byte(benchBatch("SET key:%d " + strings.Repeat("v", 100)))
	g := guard{limits: testLimits()}
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		for head := 0; head < len(batch); {
			size, err := g.next(batch[head:], false)
			if err != nil || size == 0 {
				b.Fatal(size, err)
			}
			head += size
			g.reset()
		}
	}
}
