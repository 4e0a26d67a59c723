package resp

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// EM.AT waits for what EM.TOKEN of another node has seen, and says STALE when that does not come.
func TestTokensCarryASessionToAnotherNode(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{}, func(t *testing.T, _ *Server, _ *pipeListener) {
		mesh := fabric.NewMesh(1)
		var fs []*fabric.Fabric
		for _, name := range []string{"a", "b"} {
			f, err := fabric.Open(t.Context(), fabric.Config{Name: name, Transport: mesh.Node(crdt.NodeID(name))})
			if err != nil {
				t.Fatal(err)
			}
			fs = append(fs, f)
		}
		synctest.Wait()
		mesh.Cut("a", "b")
		here, err := fs[0].Region(fabric.DefaultRegion)
		if err != nil {
			t.Fatal(err)
		}
		if err := fabric.RegisterOf[string](here, "k").Set(t.Context(), "v"); err != nil {
			t.Fatal(err)
		}
		token := here.Token().String()
		l := newPipeListener()
		s, err := New(Config{Listener: l, Fabric: fs[1]})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(t.Context()) }()
		conn := l.dial()
		got := collect(conn)
		ask := func(raw string, patience time.Duration) string {
			before := len(got.String())
			write(t, conn, raw)
			time.Sleep(patience)
			synctest.Wait()
			return got.String()[before:]
		}
		if reply := ask(encode("EM.TOKEN"), 0); len(reply) < 20 || reply[0] != '$' {
			t.Errorf("EM.TOKEN answers %q", reply)
		}
		for _, x := range []struct {
			args     []string
			patience time.Duration
			want     string
		}{
			{[]string{token, "0"}, 0, "-STALE "}, {[]string{token, "1000"}, 2 * time.Second, "1 writes are missing here\r\n"},
			{[]string{"!", "0"}, 0, "-ERR "}, {[]string{token, "-1"}, 0, "-ERR "}, {[]string{token, "x"}, 0, "-ERR "}, {[]string{"", "0"}, 0, "+OK\r\n"},
		} {
			if reply := ask(encode(append([]string{"EM.AT"}, x.args...)...), x.patience); !strings.Contains(reply, x.want) {
				t.Errorf("EM.AT %q answers %q, want %q", x.args, reply, x.want)
			}
		}
		if reply := ask(encode("PING")+encode("EM.AT", token, "60000")+encode("GET", "k"), 5*time.Second); reply != "+PONG\r\n" {
			t.Errorf("while it waits: %q", reply)
		}
		mesh.Heal("a", "b")
		if reply := ask("", 5*time.Second); reply != "+OK\r\n$1\r\nv\r\n" {
			t.Errorf("once the write is there: %q", reply)
		}
		_ = conn.Close()
		_ = l.Close()
		<-served
		for _, f := range fs {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
