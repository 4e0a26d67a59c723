package resp

import (
	"math"
	"strings"
	"sync"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// tracking remembers which clients read which keys, to tell them when a key changes: by a write here, a merge, or its
// expiry. Clients with BCAST are told of every key with one of their prefixes instead, in the region that they selected.
type tracking struct {
	mu       sync.Mutex
	keys     map[trackKey]map[*client]uint64 // the region's version when the client read it last
	expiring map[trackKey]int64              // of keys, when they expire, Unix ms
	bytes    int                             // of keys
	all      map[*client]struct{}
}

type trackKey struct {
	region *fabric.Region
	key    string
}

// trackBytesMax bounds the table; beyond it some key is told as changed, and forgotten.
const (
	trackBytesMax = 16 << 20
	trackOverhead = 256
)

func (k trackKey) size() int { return len(k.key) + trackOverhead }

// tracked is what CLIENT TRACKING ON asked for. Its fields belong to tracking.mu; cache belongs to the client's goroutine.
type tracked struct {
	bcast, optIn, optOut, noLoop bool
	prefixes                     []string // of BCAST; none: every key
	keys                         map[trackKey]struct{}
	own                          map[trackKey]struct{} // written by itself, and not told yet: for BCAST with NOLOOP
}

// cacheNext is what CLIENT CACHING says of the next command that is none of CLIENT's, or of all until EXEC.
type cacheNext uint8

const (
	cacheByMode cacheNext = iota
	cacheYes
	cacheNo
)

func (t *tracking) clients() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// on begins to tell a client, or adds to what it is told of.
func (t *tracking) on(c *client, o tracked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all, t.keys, t.expiring = map[*client]struct{}{}, map[trackKey]map[*client]uint64{}, map[trackKey]int64{}
	}
	o.keys, o.own = map[trackKey]struct{}{}, map[trackKey]struct{}{}
	if c.tracked != nil {
		o.keys, o.own, o.prefixes = c.tracked.keys, c.tracked.own, append(c.tracked.prefixes, o.prefixes...)
	}
	c.tracked = &o
	t.all[c] = struct{}{}
}

func (t *tracking) off(c *client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.tracked == nil {
		return
	}
	for key := range c.tracked.keys {
		t.untrack(key, c)
	}
	delete(t.all, c)
	c.tracked = nil
}

// untrack forgets that a client read a key. The caller holds mu.
func (t *tracking) untrack(key trackKey, c *client) {
	of := t.keys[key]
	if _, known := of[c]; !known {
		return
	}
	delete(of, c)
	delete(c.tracked.keys, key)
	if len(of) == 0 {
		delete(t.keys, key)
		delete(t.expiring, key)
		t.bytes -= key.size()
	}
}

// add notes that a client read a key at a version, which expires at an instant, or never where that is 0. The caller holds
// the region's lock, so that no change comes in between.
func (t *tracking) add(c *client, key trackKey, version uint64, at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.keys[key]
	if of == nil {
		of = map[*client]uint64{}
		t.keys[key] = of
		t.bytes += key.size()
	}
	if at != 0 {
		t.expiring[key] = at
	}
	of[c] = version
	c.tracked.keys[key] = struct{}{}
	for other := range t.keys {
		if t.bytes <= trackBytesMax {
			return
		}
		if other != key {
			t.tell(other, anyVersion)
		}
	}
}

// anyVersion is later than all.
const anyVersion = math.MaxUint64

// tell sends who read a key before a version that it changed, and forgets that they read it. The caller holds mu.
func (t *tracking) tell(key trackKey, version uint64) {
	for _, c := range inOrder(t.keys[key]) {
		if t.keys[key][c] >= version {
			continue // it has read what the change made
		}
		t.untrack(key, c)
		c.pushInvalid(key.key)
	}
}

// invalidate tells of a change.
func (t *tracking) invalidate(key trackKey, version uint64, local bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(key, version)
	for _, c := range inOrder(t.all) {
		k := c.tracked
		if !k.bcast || !c.selected(key.region) || !k.wants(key.key) {
			continue
		}
		if _, own := k.own[key]; own && local {
			delete(k.own, key)
			continue
		}
		c.pushInvalid(key.key)
	}
}

func (k *tracked) wants(key string) bool {
	for _, prefix := range k.prefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return len(k.prefixes) == 0
}

// ownWrites is how many writes of its own a client with BCAST and NOLOOP may be ahead of what it is told.
const ownWrites = 4096

// wrote notes that a client with NOLOOP writes to a key: it is not told of that.
func (t *tracking) wrote(c *client, key trackKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := c.tracked
	if k == nil || !k.noLoop {
		return
	}
	t.untrack(key, c)
	if k.bcast && len(k.own) < ownWrites {
		k.own[key] = struct{}{}
	}
}

// forgetAll tells everybody who reads a region to forget everything: its changes came too fast to be told one by one.
func (t *tracking) forgetAll(region *fabric.Region) {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := map[*client]struct{}{}
	for key, of := range t.keys {
		if key.region != region {
			continue
		}
		for c := range of {
			t.untrack(key, c)
			told[c] = struct{}{}
		}
	}
	for c := range t.all {
		if c.tracked.bcast && c.selected(region) {
			clear(c.tracked.own)
			told[c] = struct{}{}
		}
	}
	for _, c := range inOrder(told) {
		c.pushInvalidAll()
	}
}

func (t *tracking) expire(region *fabric.Region, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, at := range t.expiring {
		if key.region == region && at <= now {
			t.tell(key, anyVersion)
		}
	}
}

// selected says whether the client's region is this one.
func (c *client) selected(region *fabric.Region) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.labels.region == region.Name()
}

// pushInvalid tells the client that a key changed. RESP2 has no way to.
func (c *client) pushInvalid(key string) {
	c.push(func(w *writer) {
		if w.resp3 {
			w.pushOf(2)
			w.bulkString("invalidate")
			w.array(1)
			w.bulkString(key)
		}
	})
}

func (c *client) pushInvalidAll() {
	c.push(func(w *writer) {
		if w.resp3 {
			w.pushOf(2)
			w.bulkString("invalidate")
			w.null()
		}
	})
}

// trackReads notes the keys that the command under way reads, if the client asked for that.
func (c *client) trackReads(v *crdt.View) {
	k := c.tracked
	if k == nil || k.bcast || k.optIn && c.cache != cacheYes || k.optOut && c.cache == cacheNo {
		return
	}
	for _, i := range c.cmd.keys.positions(c.args) {
		key := string(c.args[i])
		at, _ := v.ExpireAt(key)
		c.srv.tracking.add(c, trackKey{c.region, key}, v.Version(), at)
	}
}

// untrackAll is CLIENT TRACKING OFF.
func (c *client) untrackAll() {
	if c.tracked != nil {
		c.srv.tracking.off(c)
		c.srv.feeds.rest()
	}
}

func clientTracking(c *client) {
	o, ok := c.trackingOptions()
	if !ok {
		return
	}
	switch lowerWord(c.args[2]) {
	case "on":
		if !c.trackingAllowed(o) {
			return
		}
		if o.bcast && !c.followSelected() {
			return
		}
		c.startPushing()
		c.srv.tracking.on(c, o)
	case "off":
		c.untrackAll()
	default:
		c.fail(errSyntax)
		return
	}
	c.ok()
}

func (c *client) followSelected() bool {
	region, err := c.currentRegion()
	if err == nil {
		err = c.srv.feeds.follow(region)
	}
	if err != nil {
		c.fail("ERR CLIENT TRACKING: " + err.Error())
	}
	return err == nil
}

func (c *client) trackingOptions() (o tracked, ok bool) {
	for i := 3; i < len(c.args); i++ {
		more := i+1 < len(c.args)
		switch {
		case equalFold(c.args[i], "redirect") && more:
			c.fail("ERR 'client|tracking' with REDIRECT not supported by edgemem: use RESP3, where invalidations come on the same connection")
			return o, false
		case equalFold(c.args[i], "bcast"):
			o.bcast = true
		case equalFold(c.args[i], "optin"):
			o.optIn = true
		case equalFold(c.args[i], "optout"):
			o.optOut = true
		case equalFold(c.args[i], "noloop"):
			o.noLoop = true
		case equalFold(c.args[i], "prefix") && more:
			i++
			o.prefixes = append(o.prefixes, string(c.args[i]))
		default:
			c.fail(errSyntax)
			return o, false
		}
	}
	return o, true
}

// prefixesMax bounds the prefixes of one client: each change is compared with all of them.
const prefixesMax = 256

// trackingAllowed checks that options go together, and with those that are in force.
func (c *client) trackingAllowed(o tracked) bool {
	const another = " before disabling tracking for this client, and then re-enabling it with a different mode."
	was := tracked{}
	if c.tracked != nil {
		was = *c.tracked
	}
	switch {
	case len(o.prefixes) > 0 && !o.bcast:
		c.fail("ERR PREFIX option requires BCAST mode to be enabled")
	case c.tracked != nil && was.bcast != o.bcast:
		c.fail("ERR You can't switch BCAST mode on/off" + another)
	case o.bcast && (o.optIn || o.optOut):
		c.fail("ERR OPTIN and OPTOUT are not compatible with BCAST")
	case o.optIn && o.optOut:
		c.fail("ERR You can't specify both OPTIN mode and OPTOUT mode")
	case o.optIn && was.optOut || o.optOut && was.optIn:
		c.fail("ERR You can't switch OPTIN/OPTOUT mode" + another)
	case len(was.prefixes)+len(o.prefixes) > prefixesMax:
		c.failf("ERR more than %d prefixes", prefixesMax)
	default:
		return !c.prefixesOverlap(append(was.prefixes[:len(was.prefixes):len(was.prefixes)], o.prefixes...))
	}
	return false
}

func (c *client) prefixesOverlap(prefixes []string) bool {
	for i, one := range prefixes {
		for _, other := range prefixes[:i] {
			if strings.HasPrefix(one, other) || strings.HasPrefix(other, one) {
				c.fail("ERR Prefix '" + one + "' overlaps with an existing prefix '" + other + "'. Prefixes for a single client must not overlap.")
				return true
			}
		}
	}
	return false
}

func clientCaching(c *client) {
	k := c.tracked
	word := lowerWord(c.args[2])
	switch {
	case k == nil:
		c.fail("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
	case word == "yes" && k.optIn:
		c.cache = cacheYes
		c.ok()
	case word == "yes":
		c.fail("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	case word == "no" && k.optOut:
		c.cache = cacheNo
		c.ok()
	case word == "no":
		c.fail("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
	default:
		c.fail(errSyntax)
	}
}

func trackingInfo(c *client) {
	flags, prefixes := []string{"off"}, []string(nil)
	redirect := int64(-1)
	if k := c.tracked; k != nil {
		flags, redirect, prefixes = []string{"on"}, 0, k.prefixes
		for _, f := range []struct {
			on   bool
			name string
		}{
			{k.bcast, "bcast"}, {k.optIn, "optin"}, {k.optIn && c.cache == cacheYes, "caching-yes"}, {k.optOut, "optout"},
			{k.optOut && c.cache == cacheNo, "caching-no"}, {k.noLoop, "noloop"},
		} {
			if f.on {
				flags = append(flags, f.name)
			}
		}
	}
	c.mapOf(3)
	c.bulkString("flags")
	c.setOf(len(flags))
	for _, f := range flags {
		c.bulkString(f)
	}
	c.bulkString("redirect")
	c.int(redirect)
	c.bulkString("prefixes")
	c.bulks(prefixes)
}

func clientGetRedir(c *client) {
	if c.tracked == nil {
		c.int(-1)
		return
	}
	c.int(0)
}
