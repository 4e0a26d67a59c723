package resp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/persist/storetest"
	"github.com/edgemem/edgemem/test/bubble"
)

// station is a node with a server, and one client of it.
type station struct {
	m    *fabric.Mesh
	f    *fabric.Fabric
	conn net.Conn
	got  *received
	read int // bytes of got
}

// ask writes a command, and gives what came until everything rests.
func (s *station) ask(t *testing.T, args ...string) string {
	t.Helper()
	write(t, s.conn, encode(args...))
	return s.more()
}

func (s *station) more() string {
	time.Sleep(time.Second) // for the words to spread
	synctest.Wait()
	all := s.got.String()
	defer func() { s.read = len(all) }()
	return all[s.read:]
}

// stations runs a server on each node of a mesh in which only neighbours in the list are linked.
func stations(t *testing.T, names ...string) (out []*station) {
	t.Helper()
	m := fabric.NewMesh(1)
	for i, name := range names {
		for _, other := range names[:max(i-1, 0)] {
			m.Cut(crdt.NodeID(name), crdt.NodeID(other))
		}
		store, err := (&storetest.Disk{}).Open()
		if err != nil {
			t.Fatal(err)
		}
		f, err := fabric.Open(t.Context(), fabric.Config{Name: name, Transport: m.Node(crdt.NodeID(name)), Storage: store, ManualMoves: true})
		if err != nil {
			t.Fatal(err)
		}
		l := newPipeListener()
		srv, err := New(Config{Listener: l, Fabric: f})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ctx) }()
		conn := l.dial()
		out = append(out, &station{m: m, f: f, conn: conn, got: collect(conn)})
		t.Cleanup(func() {
			stop()
			if err := errors.Join(<-served, f.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	synctest.Wait()
	return out
}

func TestMessagesReachListenersOnOtherNodes(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		all := stations(t, "a", "b", "c")
		a, b, c := all[0], all[1], all[2]
		c.ask(t, "SUBSCRIBE", "news", `odd\name`)
		c.ask(t, "PSUBSCRIBE", "sport:*", "[ab]x")
		c.ask(t, "SSUBSCRIBE", "shard")
		for _, x := range []struct{ command, channel, want string }{
			{"PUBLISH", "news", "message"}, {"PUBLISH", "sport:golf", "pmessage"}, {"PUBLISH", "ax", "pmessage"}, {"PUBLISH", `odd\name`, "message"},
			{"SPUBLISH", "shard", "smessage"}, {"PUBLISH", "shard", ""}, {"SPUBLISH", "news", ""}, {"PUBLISH", "other", ""},
		} {
			if got := a.ask(t, x.command, x.channel, "hello"); got != ":0\r\n" {
				t.Errorf("%s %s answers %q: there are no listeners on this node", x.command, x.channel, got)
			}
			got := c.more()
			if x.want == "" && got != "" || x.want != "" && (strings.Count(got, "hello") != 1 || !strings.Contains(got, "\r\n"+x.want+"\r\n")) {
				t.Errorf("%s %s: the listener gets %q, want %q", x.command, x.channel, got, x.want)
			}
		}
		b.ask(t, "SUBSCRIBE", "news")
		if got := a.ask(t, "PUBSUB", "NUMSUB", "news"); !strings.HasSuffix(got, ":0\r\n") {
			t.Errorf("NUMSUB counts listeners of other nodes: %q", got)
		}
		if got := a.ask(t, "INFO", "stats"); !strings.Contains(got, "pubsub_listening_nodes:2\r\n") || !strings.Contains(got, "pubsub_messages_dropped:0\r\n") {
			t.Errorf("INFO: %q", got)
		}
	})
}

func TestMessagesThatAreTooLongForOtherNodes(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		all := stations(t, "a", "b")
		long := strings.Repeat("m", fabric.MaxMessage)
		if got := all[0].ask(t, "PUBLISH", "news", long); got != ":0\r\n" {
			t.Errorf("with nobody on other nodes: %q", got)
		}
		all[1].ask(t, "SUBSCRIBE", "news")
		want := fmt.Sprintf("-ERR sent to 0 clients of this node: fabric: message too large: %d bytes with its channel, other nodes take %d; 1 of them", len(long)+4, fabric.MaxMessage)
		if got := all[0].ask(t, "PUBLISH", "news", long); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if got := all[1].more(); got != "" {
			t.Errorf("%d bytes came", len(got))
		}
	})
}

// Each node has the notifications of its own, and nobody can send some in its name.
func TestNotificationsStayOnTheirNode(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		all := stations(t, "a", "b")
		all[1].ask(t, "PSUBSCRIBE", "*", "__keyspace@*")
		all[1].ask(t, "SUBSCRIBE", "__keyevent@0__:set")
		all[0].ask(t, "CONFIG", "SET", "notify-keyspace-events", "KEA")
		all[0].ask(t, "SET", "k", "v")
		for _, channel := range []string{"__keyspace@0__:k", "__keyevent@0__:set"} {
			if got := all[0].ask(t, "PUBLISH", channel, "set"); got != ":0\r\n" {
				t.Errorf("PUBLISH %s answers %q", channel, got)
			}
		}
		if _, nodes, err := all[0].f.Publish("__keyspace@0__:k", nil); err != nil || nodes != 1 {
			t.Errorf("a program's message went to %d nodes, %v", nodes, err)
		}
		if got := all[1].more(); got != "" {
			t.Errorf("the other node's listener gets %q", got)
		}
	})
}

// A Go program in the daemon's process and its Redis clients hear each other.
func TestMessagesBetweenProgramsAndClients(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		a := stations(t, "a")[0]
		s, err := a.f.Subscribe(fabric.Channel("news"))
		if err != nil {
			t.Fatal(err)
		}
		if got := a.ask(t, "PUBLISH", "news", "from a client"); got != ":1\r\n" {
			t.Errorf("PUBLISH answers %q", got)
		}
		if m, err := s.Next(t.Context()); err != nil || string(m.Payload) != "from a client" {
			t.Errorf("%q, %v", m.Payload, err)
		}
		a.ask(t, "SUBSCRIBE", "news")
		if here, nodes, err := a.f.Publish("news", []byte("from a program")); here != 2 || nodes != 0 || err != nil {
			t.Errorf("%d here, %d nodes, %v", here, nodes, err)
		}
		if got := a.more(); strings.Count(got, "from a program") != 1 {
			t.Errorf("the client gets %q", got)
		}
	})
}
