package resp

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scene is a conversation of two clients, line by line: "s" listens, "p" sends. "s <" reads one more message.
const scene = `
s SUBSCRIBE a b
s <
s PSUBSCRIBE a* [xy]
s <
p PUBLISH a one
s <
s <
p PUBLISH x two
s <
p PUBLISH nobody three
p PUBSUB CHANNELS
p PUBSUB CHANNELS b*
p PUBSUB NUMSUB a b c
p PUBSUB NUMPAT
p PUBSUB SHARDCHANNELS
s SSUBSCRIBE s1
p SPUBLISH s1 four
s <
p PUBSUB SHARDNUMSUB s1 s2
p PUBSUB CHANNELS a b
s SUNSUBSCRIBE s1
s UNSUBSCRIBE b nothing
s <
s PING
s PING hello
s UNSUBSCRIBE
s PUNSUBSCRIBE [xy] a*
s <
s UNSUBSCRIBE
s PUNSUBSCRIBE
s GET k
p SUBSCRIBE
p PUBLISH a
p PUBLISH a five
`

func TestListensAsRedisDoes(t *testing.T) {
	t.Parallel()
	compareScene(t, scene, "2", "3")
}

// compareScene plays a scene on both servers.
func compareScene(t *testing.T, scene string, protocols ...string) {
	t.Helper()
	for _, proto := range protocols {
		_, addr := start(t, nil)
		ours, theirs := playScene(t, scene, "tcp", addr, proto), playScene(t, scene, "unix", realRedis(t), proto)
		for i := range theirs {
			if ours[i] != theirs[i] {
				t.Errorf("RESP%s: %s\n edgemem: %s\n redis:   %s", proto, strings.Split(scene, "\n")[i+1], ours[i], theirs[i])
			}
		}
	}
}

func playScene(t *testing.T, scene, network, addr, proto string) (out []string) {
	t.Helper()
	who := map[string]*peer{}
	for _, name := range []string{"s", "p"} {
		conn, err := net.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		who[name] = newPeer(t, conn)
		who[name].do("HELLO", proto)
	}
	for line := range strings.Lines(strings.TrimSpace(scene)) {
		words := strings.Fields(line)
		p := who[words[0]]
		if words[1] != "<" {
			p.send(encode(words[1:]...))
		}
		v, err := readValue(p.r)
		if err != nil {
			t.Fatalf("%s: %v, after %q", strings.TrimSpace(line), err, out)
		}
		if words[len(words)-1] == "CHANNELS" {
			slices.SortFunc(v.items, func(a, b value) int { return strings.Compare(a.text, b.text) })
		}
		out = append(out, v.String())
	}
	return out
}

func TestListenersInRESP2AreRestricted(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	p, q := dial(t, addr), dial(t, addr)
	p.want(`*["subscribe" "a" :1]`, "SUBSCRIBE", "a")
	p.want("-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", "GET", "k")
	if list := q.do("CLIENT", "LIST", "TYPE", "pubsub").text; !strings.Contains(list, " flags=P ") || !strings.Contains(list, " sub=1 ") {
		t.Error(list)
	}
	p.want("+RESET", "RESET")
	p.want("nil", "GET", "k")
	p.want(`*["ssubscribe" "a" :1]`, "SSUBSCRIBE", "a")
	p.want("+OK", "QUIT")
	p.wantClosed()
	q.want(":0", "SPUBLISH", "a", "m")
	if n := s.hub.names(ofShard) + s.hub.names(ofChannel); n != 0 {
		t.Errorf("%d channels have listeners", n)
	}
}

// Messages keep their order, and come whole, between the replies of a client that is at work itself.
func TestMessagesComeInOrder(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p, q := dial(t, addr), dial(t, addr)
	p.do("HELLO", "3")
	p.want(`>["subscribe" "a" :1]`, "SUBSCRIBE", "a")
	const messages, commands = 2000, 500
	go func() {
		for i := range messages {
			_, _ = q.conn.Write([]byte(encode("PUBLISH", "a", fmt.Sprint(i))))
		}
	}()
	go func() {
		for i := range commands {
			_, _ = p.conn.Write([]byte(encode("ECHO", fmt.Sprint(i))))
		}
	}()
	for next, echo := 0, 0; next < messages || echo < commands; {
		switch v := p.read(); v.kind {
		case '>':
			if want := fmt.Sprintf(`>["message" "a" "%d"]`, next); v.String() != want {
				t.Fatalf("%s, want %s", v, want)
			}
			next++
		default:
			if v.text != fmt.Sprint(echo) {
				t.Fatalf("%s, want echo %d", v, echo)
			}
			echo++
		}
	}
}

// A listener that does not read is cut off when its messages pass the bound, and holds up nobody.
func TestSlowListenersAreCutOff(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{PushBytes: 100_000}, func(t *testing.T, s *Server, l *pipeListener) {
		slow, quick, sender := l.dial(), l.dial(), l.dial()
		defer func() { _, _, _ = slow.Close(), quick.Close(), sender.Close() }()
		got, sent := collect(quick), collect(sender)
		go func() { _, _ = slow.Write([]byte(encode("SUBSCRIBE", "a"))) }()
		write(t, quick, encode("SUBSCRIBE", "a"))
		synctest.Wait()
		buf := make([]byte, 30)
		if _, err := slow.Read(buf); err != nil { // the confirmation, and nothing after it
			t.Fatal(err)
		}
		synctest.Wait()
		for range 200 {
			write(t, sender, encode("PUBLISH", "a", strings.Repeat("m", 1000)))
			synctest.Wait()
		}
		if n := strings.Count(got.String(), "message"); n != 200 {
			t.Errorf("the quick listener has %d of 200 messages", n)
		}
		if n := strings.Count(sent.String(), ":2\r\n"); n < 90 || n > 110 {
			t.Errorf("%d messages went to the slow one", n)
		}
		if st := s.Stats(); st.SlowListeners != 1 || st.BufferedBytes > 1000 {
			t.Errorf("%+v", st)
		}
	})
}

// A listener whose socket is full for longer than Limits.WriteStall goes, however few its messages are.
func TestListenersThatStallAreClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, Limits{WriteStall: 10 * time.Second}, func(t *testing.T, s *Server, l *pipeListener) {
		stalled, sender := l.dial(), l.dial()
		defer func() { _, _ = stalled.Close(), sender.Close() }()
		collect(sender)
		write(t, stalled, encode("SUBSCRIBE", "a"))
		buf := make([]byte, 64)
		if _, err := stalled.Read(buf); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		write(t, sender, encode("PUBLISH", "a", "m"))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Stalled != 1 || st.Clients != 1 {
			t.Errorf("%d stalled, %d clients", st.Stalled, st.Clients)
		}
	})
}

func TestSubscriptionsAreBounded(t *testing.T) {
	t.Parallel()
	s, addr := start(t, nil)
	p := dial(t, addr)
	p.do("HELLO", "3")
	name := strings.Repeat("n", 60_000)
	for i := range subscriptionBytesMax/len(name) + 1 {
		p.send(encode("SUBSCRIBE", fmt.Sprint(i)+name))
		if v := p.read(); v.kind != '>' && !strings.HasPrefix(v.text, "ERR the subscriptions of this client are longer than 4194304 bytes") {
			t.Fatal(v)
		}
	}
	if held := s.buffered.Load(); held > 5<<20 {
		t.Errorf("%d bytes are held", held)
	}
	p.want("+RESET", "RESET")
	p.want("+PONG", "PING")
	if held := s.buffered.Load(); held > 100_000 { // of the query buffer
		t.Errorf("%d bytes are held after RESET", held)
	}
}
