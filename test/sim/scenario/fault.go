package scenario

import (
	"fmt"
	"time"
)

// happens is what events do to the nodes that they meet. It says what it did.
var happens map[string]func(w *world, e *Event, met []*node) string

func init() {
	happens = map[string]func(w *world, e *Event, met []*node) string{
		"partition": (*world).partition,
		"heal":      (*world).heal,
		"unplug":    func(w *world, e *Event, met []*node) string { return w.setPlug(e, met, false) },
		"plug":      func(w *world, e *Event, met []*node) string { return w.setPlug(e, met, true) },
		"restart":   func(w *world, e *Event, met []*node) string { return w.restart(e, met, false) },
		"wipe":      func(w *world, e *Event, met []*node) string { return w.restart(e, met, true) },
		"roam":      (*world).roam,
	}
}

// event plans one event, and its repetitions.
func (w *world) event(e *Event) {
	w.pending++
	var next func()
	next = func() {
		said := happens[e.Do](w, e, w.pick(e.Tier, e.Share))
		w.say("%s", said)
		w.last = w.now
		if e.For > 0 && w.now+time.Duration(e.Every) <= time.Duration(e.At+e.For) {
			w.after(time.Duration(e.Every), next)
			return
		}
		w.pending--
	}
	w.when(time.Duration(e.At), next)
}

// ends plans the end of what an event did.
func (w *world) ends(e *Event, what string, met []*node, fn func()) {
	if e.Lasts == 0 {
		return
	}
	w.pending++
	w.after(time.Duration(e.Lasts), func() {
		fn()
		w.say("%s: %d nodes", what, len(met))
		w.last = w.now
		w.pending--
	})
}

// pick chooses a share of the nodes of a tier at random.
func (w *world) pick(tier string, share float64) []*node {
	var all []*node
	for _, n := range w.nodes {
		if tier == "" || n.tier.Name == tier {
			all = append(all, n)
		}
	}
	w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:max(1, int(share*float64(len(all))))]
}

// partition parts the servers at random; devices stay with their first server.
func (w *world) partition(e *Event, _ []*node) string {
	for _, n := range w.nodes {
		if !n.device() {
			n.group = w.rng.IntN(e.Parts)
		}
	}
	for _, n := range w.nodes {
		w.follow(n)
	}
	w.reconnect()
	return fmt.Sprintf("the network parts into %d", e.Parts)
}

// follow puts a device on the side of its first server.
func (w *world) follow(n *node) {
	if n.device() && len(n.links) > 0 {
		n.group = n.links[0].peer.group
	}
}

func (w *world) heal(*Event, []*node) string {
	for _, n := range w.nodes {
		n.group = 0
	}
	w.reconnect()
	return "the network is whole"
}

func (w *world) setPlug(e *Event, met []*node, on bool) string {
	for _, n := range met {
		n.plug = on
	}
	w.reconnect()
	if on {
		return fmt.Sprintf("%d nodes are on the network", len(met))
	}
	w.ends(e, "back on the network", met, func() { w.setPlug(e, met, true) })
	return fmt.Sprintf("%d nodes are off the network", len(met))
}

// restart kills processes. They come back as new incarnations with what their disks hold.
func (w *world) restart(e *Event, met []*node, wiped bool) string {
	for _, n := range met {
		n.up = false
		n.commit.stop()
		n.pushTimer.stop()
		n.herald.stop()
		n.commit, n.pushTimer, n.herald = nil, nil, nil
		if wiped {
			n.wiped = true
			clear(n.overlay)
		}
	}
	w.reconnect()
	back := func() {
		for _, n := range met {
			n.up = true
			w.boot(n)
		}
		w.reconnect()
	}
	what := "killed"
	if wiped {
		what = "killed and their disks wiped"
	}
	if e.Lasts == 0 {
		back()
		return fmt.Sprintf("%d nodes are %s, and start", len(met), what)
	}
	w.ends(e, "restarted", met, back)
	return fmt.Sprintf("%d nodes are %s", len(met), what)
}

// roam moves devices to other servers.
func (w *world) roam(_ *Event, met []*node) string {
	moved := 0
	for _, n := range met {
		if n.device() {
			w.unlink(n)
			w.attach(n)
			w.follow(n)
			moved++
		}
	}
	w.reconnect()
	return fmt.Sprintf("%d devices roam to other servers", moved)
}
