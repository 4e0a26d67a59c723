package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
)

func subscribe(t *testing.T, f *Fabric, topics ...Topic) *Subscription {
	t.Helper()
	s, err := f.Subscribe(topics...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(t *testing.T, f *Fabric, channel, payload string) (here, nodes int) {
	t.Helper()
	here, nodes, err := f.Publish(channel, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return here, nodes
}

// messagesOf gives what waits in a subscription.
func messagesOf(t *testing.T, s *Subscription) (out []string) {
	t.Helper()
	for {
		m, ok, err := s.pop()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		out = append(out, m.Channel+"="+string(m.Payload))
	}
}

func wantMessages(t *testing.T, s *Subscription, want ...string) {
	t.Helper()
	if got := messagesOf(t, s); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// told lets every node say what it listens to, and the words spread.
func told() {
	time.Sleep(3 * announceEvery)
	synctest.Wait()
}

func TestMessagesReachOtherNodesOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		news, all, other := subscribe(t, b, Channel("news")), subscribe(t, c, ChannelPrefix("ne")), subscribe(t, c, Channel("other"))
		mine := subscribe(t, a, Channel("news"), ChannelPrefix(""))
		told()
		if here, nodes := publish(t, a, "news", "one"); here != 1 || nodes != 2 {
			t.Errorf("one went to %d here and %d nodes", here, nodes)
		}
		if here, nodes := publish(t, a, "nextdoor", "two"); here != 1 || nodes != 1 {
			t.Errorf("two went to %d here and %d nodes", here, nodes)
		}
		synctest.Wait()
		wantMessages(t, news, "news=one")
		wantMessages(t, all, "news=one", "nextdoor=two")
		wantMessages(t, mine, "news=one", "nextdoor=two")
		wantMessages(t, other)
		if s := b.MessageStats(); s.Received != 1 || s.Forwarded != 0 {
			t.Errorf("b, which is to have one message and to pass on none: %+v", s)
		}
	})
}

// A node without listeners gets nothing, and while nobody listens nothing at all is sent, not even a stream opened.
func TestMessagesGoWhereSomebodyListens(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		told()
		if _, nodes := publish(t, a, "x", "m"); nodes != 0 {
			t.Errorf("sent to %d nodes of which none listens", nodes)
		}
		if n := len(a.messages.inlets) + len(b.messages.inlets) + len(c.messages.inlets); n != 0 {
			t.Errorf("%d streams are open while nobody listens", n)
		}
		s := subscribe(t, b, Channel("x"))
		told()
		if _, nodes := publish(t, a, "x", "m"); nodes != 1 {
			t.Errorf("sent to %d nodes, 1 listens", nodes)
		}
		synctest.Wait()
		wantMessages(t, s, "x=m")
		if st := c.MessageStats(); st.Received != 0 {
			t.Errorf("c listens to nothing and got %d messages", st.Received)
		}
		s.Close()
		time.Sleep(2 * shrinkAfter)
		synctest.Wait()
		if _, nodes := publish(t, a, "x", "m"); nodes != 0 {
			t.Errorf("sent to %d nodes after the last listener left", nodes)
		}
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed subscription answers %v", err)
		}
	})
}

// A chain: the nodes in the middle listen to nothing, and pass on.
func TestMessagesPassThroughNodes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		nodes := graph(t, m, 6, func(i, j int) bool { return j == i+1 })
		s := subscribe(t, nodes[5], Channel("far"))
		told()
		publish(t, nodes[0], "far", "hello")
		synctest.Wait()
		wantMessages(t, s, "far=hello")
		for _, f := range nodes[1:5] {
			if st := f.MessageStats(); st.Received != 1 || st.Forwarded != 1 {
				t.Errorf("%s: %+v", f.Node(), st)
			}
		}
	})
}

// graph opens nodes n0, n1, … with links where linked says so.
func graph(t *testing.T, m *Mesh, n int, linked func(i, j int) bool) (nodes []*Fabric) {
	t.Helper()
	id := func(i int) crdt.NodeID { return crdt.NodeID(fmt.Sprint("n", i)) }
	for i := range n {
		for j := range i {
			if !linked(j, i) {
				m.Cut(id(j), id(i))
			}
		}
		nodes = append(nodes, node(t, m, id(i)))
	}
	return nodes
}

// Where a way breaks another one is found; a node that is cut off is forgotten, and found again when it is back.
func TestMessagesFindAnotherWay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		ring := graph(t, m, 6, func(i, j int) bool { return j == i+1 || i == 0 && j == 5 })
		s := subscribe(t, ring[3], Channel("x"))
		told()
		for i, cut := range []string{"n1 n2", "n2 n3"} {
			a, b, _ := strings.Cut(cut, " ")
			m.Cut(crdt.NodeID(a), crdt.NodeID(b))
			told()
			publish(t, ring[1], "x", fmt.Sprint(i))
			synctest.Wait()
			wantMessages(t, s, fmt.Sprint("x=", i))
		}
		m.Cut("n3", "n4")
		time.Sleep(2 * doubtFor)
		synctest.Wait()
		if _, nodes := publish(t, ring[1], "x", "nobody"); nodes != 0 {
			t.Errorf("sent to %d nodes, though who listens is cut off", nodes)
		}
		for _, f := range ring {
			if n := len(f.messages.routes.known); f != ring[3] && n != 0 {
				t.Errorf("%s still knows %d nodes that listen", f.Node(), n)
			}
		}
		m.Heal("n2", "n3")
		told()
		m.Heal("n1", "n2")
		told()
		publish(t, ring[0], "x", "back")
		synctest.Wait()
		wantMessages(t, s, "x=back")
	})
}

// In whatever mesh, after whatever breaks: everyone who can be reached gets a message once, nobody twice.
func TestMessagesInMeshesThatChange(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) { changingMesh(t, seed) })
		})
	}
}

func changingMesh(t *testing.T, seed uint64) {
	const n = 8
	rnd := rand.New(rand.NewPCG(seed, 3))
	m := NewMesh(seed)
	up := map[[2]int]bool{}
	nodes := graph(t, m, n, func(i, j int) bool {
		up[[2]int{i, j}] = rnd.IntN(3) == 0
		return up[[2]int{i, j}]
	})
	subs := make([]*Subscription, n)
	for step := range 25 {
		for range 1 + rnd.IntN(3) {
			switch i, j := rnd.IntN(n), rnd.IntN(n); {
			case rnd.IntN(3) == 0 && subs[i] == nil:
				subs[i] = subscribe(t, nodes[i], Channel("x"))
			case rnd.IntN(6) == 0 && subs[i] != nil:
				subs[i].Close()
				subs[i] = nil
			case i < j && up[[2]int{i, j}]:
				up[[2]int{i, j}] = false
				m.Cut(nodes[i].Node(), nodes[j].Node())
			case i < j:
				up[[2]int{i, j}] = true
				m.Heal(nodes[i].Node(), nodes[j].Node())
			}
		}
		time.Sleep(time.Duration(rnd.IntN(3)) * doubtFor)
		publish(t, nodes[rnd.IntN(n)], "x", "in between") // may be lost, and comes nowhere twice
		told()
		told()
		for _, s := range subs {
			if s != nil {
				if got := messagesOf(t, s); len(got) > 1 {
					t.Fatalf("seed %d, step %d: %q", seed, step, got)
				}
			}
		}
		author := rnd.IntN(n)
		publish(t, nodes[author], "x", fmt.Sprint(step))
		synctest.Wait()
		near := reachable(up, n, author)
		for i, s := range subs {
			if s == nil {
				continue
			}
			var want []string
			if near[i] {
				want = []string{fmt.Sprint("x=", step)}
			}
			if got := messagesOf(t, s); !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: n%d has %q of n%d, want %q", seed, step, i, got, author, want)
			}
		}
	}
}

func reachable(up map[[2]int]bool, n, from int) []bool {
	seen := make([]bool, n)
	seen[from] = true
	for range n {
		for l, is := range up {
			if is && seen[l[0]] != seen[l[1]] {
				seen[l[0]], seen[l[1]] = true, true
			}
		}
	}
	return seen
}

// A node of an earlier version ends the stream. It gets nothing, and costs nothing else.
func TestMessagesPassByEarlierVersions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		old := nodeWith(t, m, "old", Config{lack: canMessages})
		a, b := node(t, m, "a"), node(t, m, "b")
		s := subscribe(t, b, Channel("x"))
		time.Sleep(time.Minute)
		publish(t, a, "x", "m")
		synctest.Wait()
		wantMessages(t, s, "x=m")
		set(t, region(t, a, "default"), "k", "v")
		time.Sleep(time.Second)
		if got := get(t, region(t, old, "default"), "k"); got != "v" {
			t.Errorf("the earlier version reads %q", got)
		}
	})
}

// Who starts anew with a clock behind its last life's is heard all the same.
func TestMessagesOfANodeWhoseClockFellBack(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		nodes := graph(t, m, 3, func(i, j int) bool { return j == i+1 })
		told()
		ahead := &nodes[0].messages.routes
		nodes[0].messages.mu.Lock()
		ahead.own.least = uint64(time.Now().Add(1000 * time.Hour).UnixMilli())
		nodes[0].messages.mu.Unlock()
		subscribe(t, nodes[0], Channel("x"))
		told()
		if err := nodes[0].Close(); err != nil {
			t.Fatal(err)
		}
		again := node(t, m, "n0")
		s := subscribe(t, again, Channel("y"))
		time.Sleep(2 * doubtFor)
		synctest.Wait()
		publish(t, nodes[2], "y", "m")
		synctest.Wait()
		wantMessages(t, s, "y=m")
	})
}

// A neighbour that takes nothing loses messages, which are counted; others have theirs.
func TestSlowNeighboursLoseMessages(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b, c := node(t, m, "a"), node(t, m, "b"), node(t, m, "c")
		slow, quick := subscribe(t, b, Channel("slow")), subscribe(t, c, Channel("quick"))
		told()
		m.SetRate(10_000)
		const n = 200
		payload := strings.Repeat("m", 100_000)
		for i := range n {
			publish(t, a, "slow", payload)
			if i%20 == 0 {
				publish(t, a, "quick", fmt.Sprint(i))
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		got := len(messagesOf(t, slow))
		if st := a.MessageStats(); st.DroppedQueue == 0 || got+int(st.DroppedQueue+st.DroppedStream+slow.Lost()) != n {
			t.Errorf("%d of %d arrived; %+v", got, n, st)
		}
		if got := messagesOf(t, quick); len(got) != n/20 {
			t.Errorf("the quick one has %d messages of %d", len(got), n/20)
		}
	})
}

// What comes faster than a neighbour may send is passed over and counted.
func TestMessagesOfOneNeighbourHaveARate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		s := subscribe(t, b, Channel("x"))
		told()
		const n = 3 * messageRate
		got := 0
		for i := range n {
			publish(t, a, "x", "m")
			if i%1000 == 0 {
				synctest.Wait()
				got += len(messagesOf(t, s))
			}
		}
		synctest.Wait()
		got += len(messagesOf(t, s))
		if st := b.MessageStats(); got > messageRate || got < messageRate-100 || st.DroppedRate != n-uint64(got) {
			t.Errorf("%d of %d arrived at once, %d dropped; the rate is %d a second", got, n, st.DroppedRate, messageRate)
		}
		time.Sleep(time.Second)
		publish(t, a, "x", "later")
		synctest.Wait()
		wantMessages(t, s, "x=later")
	})
}

func TestSubscriptionsAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a, b := node(t, m, "a"), node(t, m, "b")
		s := subscribe(t, a, ChannelPrefix(""))
		for range subscriptionMax + 10 {
			publish(t, a, "x", "m")
		}
		if got := len(messagesOf(t, s)); got != subscriptionMax || s.Lost() != 10 {
			t.Errorf("%d messages, %d lost", got, s.Lost())
		}
		told()
		big := bytes.Repeat([]byte("m"), MaxMessage)
		if _, _, err := b.Publish("x", big); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("a message that is too large: %v", err)
		}
		if here, nodes, err := b.Publish("x", big[1:]); err != nil || here != 0 || nodes != 1 {
			t.Errorf("the largest one: %d, %d, %v", here, nodes, err)
		}
		synctest.Wait()
		if got := messagesOf(t, s); len(got) != 1 {
			t.Errorf("%d messages", len(got))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next: %v", err)
		}
		if _, err := a.Subscribe(make([]Topic, topicsMax+1)...); !errors.Is(err, ErrTooManyTopics) {
			t.Errorf("too many topics: %v", err)
		}
	})
}

// A link that is back before anybody is forgotten is used again.
func TestMessagesAfterALinkFaltered(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		nodes := graph(t, m, 3, func(i, j int) bool { return j == i+1 })
		s := subscribe(t, nodes[2], Channel("x"))
		told()
		m.Cut("n1", "n2")
		told()
		if _, to := publish(t, nodes[0], "x", "lost"); to != 0 {
			t.Errorf("sent to %d nodes over a broken link", to)
		}
		m.Heal("n1", "n2")
		told()
		publish(t, nodes[0], "x", "m")
		synctest.Wait()
		wantMessages(t, s, "x=m")
	})
}

// Whatever neighbours do, a message is delivered once, goes to each node once, and not back to where it came from.
func TestMessagesThatComeAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		nodes := graph(t, m, 3, func(i, j int) bool { return j == i+1 })
		near, far := subscribe(t, nodes[1], Channel("x")), subscribe(t, nodes[2], Channel("x"))
		subscribe(t, nodes[0], Channel("x"))
		told()
		letterTo := func(count uint64, hops int) *letter {
			l := letter{hops: hops, author: tagOf("elsewhere"), count: count, channel: "x", payload: []byte(fmt.Sprint(count))}
			l.to = []tag{tagOf("n0"), tagOf("n1"), tagOf("n2"), tagOf("nobody")}
			l.seal()
			return &l
		}
		for range 3 {
			nodes[1].messages.take(tagOf("n0"), letterTo(1, 0), time.Now())
		}
		nodes[1].messages.take(tagOf("n0"), letterTo(2, hopsMax), time.Now())
		synctest.Wait()
		wantMessages(t, near, "x=1", "x=2")
		wantMessages(t, far, "x=1")
		st := nodes[1].MessageStats()
		if st.Forwarded != 1 || st.Duplicates != 8 || st.DroppedRoute != 2+3 {
			t.Errorf("%+v", st)
		}
		if st := nodes[0].MessageStats(); st.Received != 0 {
			t.Errorf("%d messages went back", st.Received)
		}
	})
}

// Words beyond the bounds are refused: of more nodes than can be remembered, and of one that changes its mind too often.
func TestWordsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	from := tagOf("near")
	r := newRoutes(tagOf("self"))
	r.up(from, mute{})
	of := func(i int) tag { return tagOf(crdt.NodeID(fmt.Sprint(i))) }
	for i := range routesMax + 10 {
		r.hear(from, word{of: of(i), seq: 1}, now)
	}
	if len(r.known) != routesMax || r.refused != 10 {
		t.Errorf("%d nodes known, %d refused", len(r.known), r.refused)
	}
	for seq := range uint64(3 * wordsASecond) {
		r.hear(from, word{of: of(1), seq: seq + 2}, now)
	}
	if got := r.known[of(1)].seq; got != 1+wordsASecond {
		t.Errorf("the last word taken has number %d", got)
	}
	r.hear(from, word{of: of(1), seq: 1000}, now.Add(time.Second))
	if got := r.known[of(1)].seq; got != 1000 {
		t.Errorf("a second later the last word taken has number %d", got)
	}
	r.hear(tagOf("stranger"), word{of: of(1), seq: 2000}, now.Add(time.Second))
	r.hear(from, word{of: of(1), seq: 2000, hops: hopsMax}, now.Add(time.Second))
	if got := r.known[of(1)].seq; got != 1000 {
		t.Errorf("a word of no neighbour, or from too far, was taken: %d", got)
	}
	r.tidy(now.Add(routeFor))
	if len(r.known) != 1 {
		t.Errorf("%d nodes known that have not spoken for %v", len(r.known), routeFor)
	}
}

// What many nodes want takes bounded room: beyond it a word is taken as a wish for everything, and none is lost.
func TestWishesTakeBoundedRoom(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	from := tagOf("near")
	r := newRoutes(tagOf("self"))
	r.up(from, mute{})
	want := interestIn(topics(exactMax, 0))
	raw := want.encode()
	const n = routesMax
	for seq := range uint64(2) {
		for i := range n {
			r.hear(from, word{of: tagOf(crdt.NodeID(fmt.Sprint(i))), seq: seq + 1, want: want, raw: raw}, now)
		}
		sum := 0
		for _, k := range r.known {
			sum += len(k.raw)
		}
		if r.bytes != sum || sum > routesBytes+n*len(wantAll) || sum < routesBytes-len(raw) || r.refused != 0 {
			t.Errorf("%d bytes counted, %d held, %d refused", r.bytes, sum, r.refused)
		}
	}
	if got := len(r.listeners(channelKey(false, "channel:0"))); got != n {
		t.Errorf("%d of %d nodes get a message that all want", got, n)
	}
	r.tidy(now.Add(routeFor))
	if r.bytes != 0 || len(r.known) != 0 {
		t.Errorf("%d bytes counted of %d nodes", r.bytes, len(r.known))
	}
}

// mute is a neighbour.
type mute struct{}

func (mute) word(tag)         {}
func (mute) knows(tag)        {}
func (mute) lost(tag, uint64) {}

// Listeners that come and go do not flood the mesh with words, and the last word is heard.
func TestWordsArePaced(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		nodes := graph(t, m, 6, func(i, j int) bool { return true })
		for _, f := range nodes[1:] {
			subscribe(t, f, Channel("x"))
		}
		told()
		seq := func() uint64 {
			nodes[0].messages.mu.RLock()
			defer nodes[0].messages.mu.RUnlock()
			return nodes[0].messages.routes.own.seq
		}
		first := seq()
		var last *Subscription
		const changes, during = 1000, 30 * time.Second
		for i := range changes {
			last = subscribe(t, nodes[0], Channel(fmt.Sprint(i)))
			if i == 0 {
				first = uint64(time.Now().UnixMilli()) // of the first word
			}
			time.Sleep(during / changes)
		}
		most := announceBurst + uint64(during/(announceEvery*time.Duration(len(nodes)))) + 1
		if said := seq() - first; said < announceBurst || said > most {
			t.Errorf("%d changes in %v were told in %d words, at most %d expected", changes, during, said, most)
		}
		time.Sleep(announceEvery * time.Duration(2*len(nodes)))
		synctest.Wait()
		publish(t, nodes[3], fmt.Sprint(changes-1), "m")
		synctest.Wait()
		wantMessages(t, last, fmt.Sprint(changes-1)+"=m")
	})
}

// BenchmarkPublish is what a message costs whose channel one of many listening nodes wants.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 100, routesMax} {
		b.Run(fmt.Sprint(n, "_nodes"), func(b *testing.B) {
			now := time.Unix(1e9, 0)
			from := tagOf("near")
			r := newRoutes(tagOf("self"))
			r.up(from, mute{})
			for i := range n {
				want := interestIn(map[Topic]int{Channel(fmt.Sprint("channel:", i)): 1})
				r.hear(from, word{of: tagOf(crdt.NodeID(fmt.Sprint(i))), seq: 1, want: want, raw: want.encode()}, now)
			}
			key := channelKey(false, "channel:0")
			b.ReportAllocs()
			for b.Loop() {
				if len(r.legs(r.listeners(key), tagOf("self"))) != 1 {
					b.Fatal("not sent")
				}
			}
		})
	}
}
