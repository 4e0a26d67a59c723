package resp

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/edgemem/edgemem/fabric"
)

const atMostOnce = "At most once: a subscriber that is away, or too slow, misses messages."

// publishNote says how far messages go, and what the answer counts: as in a Redis cluster, nobody waits for other nodes.
const publishNote = " It reaches the listeners of every node that is connected, directly or through others; the answer counts those of this node. " +
	"Other nodes take up to 256 KiB with the channel, and 20,000 messages a second from a neighbour."

func pubsubCommands() []*command {
	const (
		flags = "pubsub noscript loading stale"
		tells = "pubsub loading stale"
	)
	sub := func(name string, arity int, since, summary string, run func(c *client)) *command {
		return &command{name: "pubsub|" + name, arity: arity, flags: tells, group: "pubsub", since: since, cost: "O(N) for N channels",
			summary: summary, run: run}
	}
	return []*command{
		{name: "subscribe", arity: -2, flags: flags, group: "pubsub", since: "2.0.0", cost: "O(N) for N channels",
			summary: "Listens to channels.", note: atMostOnce, is: flagSubscriber, run: func(c *client) { c.subscribe(ofChannel) }},
		{name: "psubscribe", arity: -2, flags: flags, group: "pubsub", since: "2.0.0", cost: "O(N) for N patterns",
			summary: "Listens to the channels that match patterns.", note: atMostOnce, is: flagSubscriber, run: func(c *client) { c.subscribe(ofPattern) }},
		{name: "ssubscribe", arity: -2, flags: flags, keys: allKeys("not_key"), group: "pubsub", since: "7.0.0", cost: "O(N) for N channels",
			summary: "Listens to shard channels.", note: atMostOnce + " There are no shards: they are a second set of channels.", is: flagSubscriber,
			run: func(c *client) { c.subscribe(ofShard) }},
		{name: "unsubscribe", arity: -1, flags: flags, group: "pubsub", since: "2.0.0", cost: "O(N) for N channels",
			summary: "Stops listening to channels.", is: flagSubscriber, run: func(c *client) { c.unsubscribe(ofChannel) }},
		{name: "punsubscribe", arity: -1, flags: flags, group: "pubsub", since: "2.0.0", cost: "O(N) for N patterns",
			summary: "Stops listening to patterns.", is: flagSubscriber, run: func(c *client) { c.unsubscribe(ofPattern) }},
		{name: "sunsubscribe", arity: -1, flags: flags, keys: allKeys("not_key"), group: "pubsub", since: "7.0.0", cost: "O(N) for N channels",
			summary: "Stops listening to shard channels.", is: flagSubscriber, run: func(c *client) { c.unsubscribe(ofShard) }},
		{name: "publish", arity: 3, flags: "pubsub loading stale fast", group: "pubsub", since: "2.0.0", cost: "O(N+M) for N listeners and M patterns",
			summary: "Sends a message to a channel, and counts who gets it.",
			note:    atMostOnce + publishNote, run: func(c *client) { c.publish(ofChannel) }},
		{name: "spublish", arity: 3, flags: "pubsub loading stale fast", keys: oneKey("not_key"), group: "pubsub", since: "7.0.0", cost: "O(N) for N listeners",
			summary: "Sends a message to a shard channel.",
			note:    atMostOnce + publishNote, run: func(c *client) { c.publish(ofShard) }},
		{name: "pubsub", arity: -2,
			group: "pubsub", since: "2.8.0", cost: "by subcommand", summary: "Commands about channels.", subs: []*command{
				sub("channels", -2, "2.8.0", "Lists the channels that somebody on this node listens to.", func(c *client) { c.listChannels(ofChannel) }),
				sub("shardchannels", -2, "7.0.0", "Lists the shard channels that somebody on this node listens to.", func(c *client) { c.listChannels(ofShard) }),
				sub("numsub", -2, "2.8.0", "Counts who listens to channels, on this node.", func(c *client) { c.countListeners(ofChannel) }),
				sub("shardnumsub", -2, "7.0.0", "Counts who listens to shard channels, on this node.", func(c *client) { c.countListeners(ofShard) }),
				sub("numpat", 2, "2.8.0", "Counts the patterns that somebody on this node listens to.", func(c *client) { c.int(int64(c.srv.hub.names(ofPattern))) }),
				{name: "pubsub|help", arity: 2, flags: "loading stale", group: "pubsub", since: "6.2.0", cost: "O(1)",
					summary: "Lists the subcommands.", run: func(c *client) { c.help(pubsubHelp) }},
			}},
	}
}

// channelKind says what a subscription is to.
type channelKind uint8

const (
	ofChannel channelKind = iota
	ofPattern
	ofShard
	channelKinds
)

// The words of the replies and messages of each kind.
var (
	subscribeWords   = [channelKinds]string{"subscribe", "psubscribe", "ssubscribe"}
	unsubscribeWords = [channelKinds]string{"unsubscribe", "punsubscribe", "sunsubscribe"}
	messageWords     = [channelKinds]string{"message", "pmessage", "smessage"}
)

// hub knows who listens to what.
type hub struct {
	mesh *fabric.Listener // what the clients listen to beyond this node; nil until Serve

	mu        sync.RWMutex
	listeners [channelKinds]map[string]map[*client]struct{}
}

// open joins the hub to those of other nodes, until close.
func (h *hub) open(f *fabric.Fabric) { h.mesh = f.Listen(h.hear) }

func (h *hub) close() { h.mesh.Close() }

// hear gives a message of another node, or of this process, to all who listen.
func (h *hub) hear(m fabric.Message) int {
	if staysHere(m.Channel) {
		return 0
	}
	if m.Shard {
		return h.send(ofShard, m.Channel, m.Payload)
	}
	return h.send(ofChannel, m.Channel, m.Payload)
}

// staysHere tells the channels of keyspace notifications: each node has its own.
func staysHere(channel string) bool {
	return strings.HasPrefix(channel, "__keyspace@") || strings.HasPrefix(channel, "__keyevent@")
}

// topicOf is what other nodes are asked for; false: nothing.
func topicOf(kind channelKind, name string) (t fabric.Topic, ok bool) {
	t = fabric.Topic{Name: name, Shard: kind == ofShard}
	if kind == ofPattern {
		literal := globPrefix(name)
		t.Name, t.Prefix = literal, len(literal) < len(name)
	}
	return t, kind == ofShard || !staysHere(t.Name)
}

func (h *hub) add(kind channelKind, name string, c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners[kind] == nil {
		h.listeners[kind] = map[string]map[*client]struct{}{}
	}
	if h.listeners[kind][name] == nil {
		h.listeners[kind][name] = map[*client]struct{}{}
		if t, ok := topicOf(kind, name); ok {
			h.mesh.Want(t)
		}
	}
	h.listeners[kind][name][c] = struct{}{}
}

func (h *hub) remove(kind channelKind, name string, c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.listeners[kind][name]
	if delete(of, c); len(of) > 0 {
		return
	}
	delete(h.listeners[kind], name)
	if t, ok := topicOf(kind, name); ok {
		h.mesh.Unwant(t)
	}
}

// names counts the channels or patterns that somebody listens to.
func (h *hub) names(kind channelKind) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.listeners[kind])
}

// send gives a message to all who listen, in the order in which they came, and counts them.
func (h *hub) send(kind channelKind, channel string, message []byte) (n int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, c := range inOrder(h.listeners[kind][channel]) {
		c.push(func(w *writer) { w.message(messageWords[kind], "", channel, message) })
		n++
	}
	if kind != ofChannel || len(h.listeners[ofPattern]) == 0 {
		return n
	}
	for _, pattern := range slices.Sorted(maps.Keys(h.listeners[ofPattern])) {
		if !globMatch(pattern, channel, false) {
			continue
		}
		for _, c := range inOrder(h.listeners[ofPattern][pattern]) {
			c.push(func(w *writer) { w.message(messageWords[ofPattern], pattern, channel, message) })
			n++
		}
	}
	return n
}

func inOrder[V any](set map[*client]V) []*client {
	return slices.SortedFunc(maps.Keys(set), func(a, b *client) int { return cmp.Compare(a.id, b.id) })
}

// message writes what a listener gets; pattern is of those who listen by one.
func (w *writer) message(word, pattern, channel string, message []byte) {
	if pattern == "" && word != messageWords[ofPattern] {
		w.pushOf(3)
		w.bulkString(word)
	} else {
		w.pushOf(4)
		w.bulkString(word)
		w.bulkString(pattern)
	}
	w.bulkString(channel)
	w.bulk(message)
}

// subscriptionOverhead is what one costs beside its name; subscriptionBytesMax bounds what one client's come to.
const (
	subscriptionOverhead = 128
	subscriptionBytesMax = 4 << 20
)

// subscriptions are what one client listens to. They belong to its goroutine.
type subscriptions struct {
	names [channelKinds]map[string]struct{}
	bytes int
}

// listening counts channels and patterns, which Redis counts together, or shard channels.
func (s *subscriptions) listening(kind channelKind) int64 {
	if kind == ofShard {
		return int64(len(s.names[ofShard]))
	}
	return int64(len(s.names[ofChannel]) + len(s.names[ofPattern]))
}

// any says whether the client listens to anything: in RESP2 it then can do little else.
func (s *subscriptions) any() bool { return s.listening(ofChannel)+s.listening(ofShard) > 0 }

func (c *client) subscribe(kind channelKind) {
	for i, arg := range c.args[1:] {
		name := string(arg)
		if _, known := c.subs.names[kind][name]; !known {
			size := len(name) + subscriptionOverhead
			if c.subs.bytes+size > subscriptionBytesMax {
				c.failf("ERR the subscriptions of this client are longer than %d bytes; %d of these channels were left out", subscriptionBytesMax, len(c.args)-1-i)
				return
			}
			c.subs.bytes += size
			if c.subs.names[kind] == nil {
				c.subs.names[kind] = map[string]struct{}{}
			}
			c.subs.names[kind][name] = struct{}{}
			c.noteListens(kind)
			c.startPushing()
			c.srv.hub.add(kind, name, c)
		}
		c.confirm(subscribeWords[kind], name, true, kind)
	}
}

func (c *client) unsubscribe(kind channelKind) {
	var names []string
	for _, arg := range c.args[1:] {
		names = append(names, string(arg))
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(c.subs.names[kind]))
	}
	for _, name := range names {
		c.leave(kind, name)
		c.takePushes() // what was sent before comes before the confirmation
		c.confirm(unsubscribeWords[kind], name, true, kind)
	}
	if len(names) == 0 {
		c.confirm(unsubscribeWords[kind], "", false, kind)
	}
}

func (c *client) leave(kind channelKind, name string) {
	if _, known := c.subs.names[kind][name]; known {
		delete(c.subs.names[kind], name)
		c.subs.bytes -= len(name) + subscriptionOverhead
		c.noteListens(kind)
		c.srv.hub.remove(kind, name, c)
	}
}

// noteListens is for CLIENT LIST.
func (c *client) noteListens(kind channelKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.labels.listens[kind] = len(c.subs.names[kind])
}

// leaveAll ends every subscription.
func (c *client) leaveAll() {
	for kind := range channelKinds {
		for name := range c.subs.names[kind] {
			c.leave(kind, name)
		}
	}
}

func (c *client) confirm(word, name string, named bool, kind channelKind) {
	c.pushOf(3)
	c.bulkString(word)
	if named {
		c.bulkString(name)
	} else {
		c.null()
	}
	c.int(c.subs.listening(kind))
}

func (c *client) publish(kind channelKind) {
	channel := string(c.args[1])
	n := c.srv.hub.send(kind, channel, c.args[2])
	c.takePushes() // who listens to itself hears itself first
	if !staysHere(channel) {
		more, _, err := c.srv.hub.mesh.Publish(fabric.Message{Channel: channel, Shard: kind == ofShard, Payload: c.args[2]})
		if n += more; err != nil {
			c.failf("ERR sent to %d clients of this node: %v", n, err)
			return
		}
	}
	c.int(int64(n))
}

func (c *client) listChannels(kind channelKind) {
	if len(c.args) > 3 {
		c.fail("ERR unknown subcommand or wrong number of arguments for '" + cut(c.args[1]) + "'. Try PUBSUB HELP.")
		return
	}
	h := &c.srv.hub
	h.mu.RLock()
	names := slices.Sorted(maps.Keys(h.listeners[kind]))
	h.mu.RUnlock()
	if len(c.args) == 3 {
		names = slices.DeleteFunc(names, func(name string) bool { return !globMatch(string(c.args[2]), name, false) })
	}
	c.bulks(names)
}

func (c *client) countListeners(kind channelKind) {
	h := &c.srv.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	c.array(2 * (len(c.args) - 2))
	for _, name := range c.args[2:] {
		c.bulk(name)
		c.int(int64(len(h.listeners[kind][string(name)])))
	}
}

var pubsubHelp = []string{
	"PUBSUB <subcommand> [<arg> ...]. Subcommands are:",
	"CHANNELS [<pattern>], SHARDCHANNELS [<pattern>]", "    List the channels that somebody on this node listens to.",
	"NUMSUB [<channel> ...], SHARDNUMSUB [<channel> ...]", "    Count who listens to channels, on this node.",
	"NUMPAT", "    Count the patterns, on this node.",
	"HELP", "    This text.",
}
