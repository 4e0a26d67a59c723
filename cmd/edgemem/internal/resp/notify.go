package resp

import (
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Keyspace notifications: messages on __keyspace@<db>__:<key> and __keyevent@<db>__:<event>, where <db> is what SELECT
// takes. A write by a client of this node has the event that Redis gives it. Of a change that came by a merge only the
// outcome is known: "set", "sadd", "hset" or "xadd" by what the key holds now, "del" if it is gone, "expired" if it was this node
// that removed it. Off until CONFIG SET
// notify-keyspace-events says otherwise.

// notifyFlags are Redis's letters, one bit each, in the order in which CONFIG GET shows them.
const notifyFlags = "g$lshzxetdnKEm"

type notifySet uint32

func notifyBit(letter byte) notifySet { return 1 << strings.IndexByte(notifyFlags, letter) }

// notifyAll is what A stands for: all classes but key-miss and new.
var notifyAll = func() (all notifySet) {
	for _, letter := range []byte("g$lshzxetd") {
		all |= notifyBit(letter)
	}
	return all
}()

// parseNotify reads the value of notify-keyspace-events.
func parseNotify(text string) (set notifySet, ok bool) {
	for i := range len(text) {
		switch {
		case text[i] == 'A':
			set |= notifyAll
		case strings.IndexByte(notifyFlags, text[i]) < 0:
			return 0, false
		default:
			set |= notifyBit(text[i])
		}
	}
	return set, true
}

// String is how CONFIG GET shows a set.
func (set notifySet) String() string {
	var b strings.Builder
	rest := set
	if set&notifyAll == notifyAll {
		b.WriteByte('A')
		rest &^= notifyAll
	}
	for i := range len(notifyFlags) {
		if rest&(1<<i) != 0 {
			b.WriteByte(notifyFlags[i])
		}
	}
	return b.String()
}

func (s *Server) notifySet() notifySet { return notifySet(s.notify.Load()) }

// notifying says whether any event would be sent.
func (s *Server) notifying() bool { return s.notifySet()&(notifyBit('K')|notifyBit('E')) != 0 }

// setNotify is CONFIG SET notify-keyspace-events.
func (s *Server) setNotify(text string) bool {
	set, ok := parseNotify(text)
	if !ok {
		return false
	}
	s.notify.Store(uint32(set))
	s.feeds.rest()
	return true
}

// event sends what happened to a key to who listens. It takes no lock of a region.
func (s *Server) event(region string, class byte, event, key string) {
	set := s.notifySet()
	if set&notifyBit(class) == 0 {
		return
	}
	db := region
	if n := databaseOf(region); n >= 0 {
		db = strconv.FormatInt(n, 10)
	}
	if set&notifyBit('K') != 0 {
		s.hub.send(ofChannel, "__keyspace@"+db+"__:"+key, []byte(event))
	}
	if set&notifyBit('E') != 0 {
		s.hub.send(ofChannel, "__keyevent@"+db+"__:"+event, []byte(key))
	}
}

// notifyRemote sends what a merge, or the passing of time, did.
func (s *Server) notifyRemote(region *fabric.Region, ev fabric.WatchEvent) {
	if !s.notifying() {
		return
	}
	switch {
	case ev.Swept:
		s.event(region.Name(), 'x', "expired", ev.Key)
	case ev.Kind == crdt.KindNone:
		s.event(region.Name(), 'g', "del", ev.Key)
	case ev.Kind == crdt.KindString:
		s.event(region.Name(), '$', "set", ev.Key)
	case ev.Kind == crdt.KindSet:
		s.event(region.Name(), 's', "sadd", ev.Key)
	case ev.Kind == crdt.KindMap:
		s.event(region.Name(), 'h', "hset", ev.Key)
	case ev.Kind == crdt.KindStream:
		s.event(region.Name(), 't', "xadd", ev.Key)
	default:
		s.event(region.Name(), 'g', ev.Kind.String(), ev.Key)
	}
}

// eventNames are the events of commands that are not called like them.
var eventNames = map[string]string{
	"setex": "set", "psetex": "set", "setnx": "set", "getset": "set", "mset": "set", "msetnx": "set", "getdel": "del", "bitop": "set", "bitfield": "setbit",
	"incr": "incrby", "decr": "decrby", "hmset": "hset", "hsetnx": "hset", "pexpire": "expire", "expireat": "expire", "pexpireat": "expire",
	"unlink": "del", "copy": "copy_to", "getex": "expire", "geoadd": "zadd", "blpop": "lpop", "brpop": "rpop", "bzpopmin": "zpopmin", "bzpopmax": "zpopmax", "bzmpop": "zmpop", "pfmerge": "pfadd", "blmpop": "lmpop", "blmove": "lmove", "brpoplpush": "rpoplpush", "georadius": "georadiusstore", "georadiusbymember": "georadiusstore",
}

// genericEvents are of class g whatever the key holds.
var genericEvents = map[string]bool{"del": true, "expire": true, "persist": true, "rename_from": true, "rename_to": true, "copy_to": true}

var eventClasses = map[string]byte{"string": '$', "bitmap": '$', "hyperloglog": '$', "set": 's', "hash": 'h', "list": 'l', "sorted-set": 'z', "geo": 'z', "stream": 't'}

// keyState is what a key was before a command.
type keyState struct {
	at      int // in the arguments
	there   bool
	expires int64
}

// noting says whether somebody wants to hear of writes by command: keyspace notifications, or a client with NOLOOP.
func (c *client) noting() bool { return c.srv.notifying() || c.tracked != nil && c.tracked.noLoop }

// runWrite runs the command under way, and tells what it did.
func (c *client) runWrite(tx *crdt.Tx) {
	if !c.noting() {
		c.cmd.write(c, tx)
		return
	}
	before := tx.Writes()
	states := c.keyStates(tx)
	c.cmd.write(c, tx)
	if tx.Writes() == before {
		return
	}
	region := c.region
	for _, was := range states {
		key := string(c.args[was.at])
		c.srv.tracking.wrote(c, trackKey{region, key})
		if c.srv.notifying() {
			c.noteEvents(tx, region.Name(), was, key)
		}
	}
}

// keyStates looks at the keys that the command may change.
func (c *client) keyStates(tx *crdt.Tx) (states []keyState) {
	for _, i := range c.written() {
		key := view(c.args[i])
		at, _ := tx.ExpireAt(key)
		states = append(states, keyState{i, tx.Kind(key) != crdt.KindNone, at})
	}
	return states
}

// written lists the arguments that are keys which the command under way may change.
func (c *client) written() (at []int) {
	for _, way := range c.cmd.keys.ways() {
		if !strings.HasPrefix(way.access, "RO") {
			at = append(at, way.within(c.args)...)
		}
	}
	return at
}

// noteEvents sends the events of one key.
func (c *client) noteEvents(tx *crdt.Tx, region string, was keyState, key string) {
	name := c.cmd.name
	if as, other := eventNames[name]; other {
		name = as
	}
	at, _ := tx.ExpireAt(key)
	there := tx.Kind(key) != crdt.KindNone
	switch name {
	case "rename", "renamenx":
		name = [...]string{"rename_from", "rename_to"}[was.at-1]
	case "smove":
		name = [...]string{"srem", "sadd"}[was.at-1]
	case "sadd":
		if string(c.buf[c.start:]) == ":0\r\n" { // written again, so that a concurrent remove does not take it, but nothing shows
			return
		}
	case "del":
		if !was.there || there {
			return
		}
	case "expire":
		if c.cmd.name == "getex" && at == 0 {
			name = "persist"
		}
		if !there {
			name = "del"
		}
	}
	class := eventClasses[c.cmd.group]
	if genericEvents[name] {
		class = 'g'
	}
	if class == 0 {
		return
	}
	if !was.there && there {
		c.srv.event(region, 'n', "new", key)
	}
	if was.there || there {
		c.srv.event(region, class, name, key)
	}
	if name == "xadd" && c.trimmed {
		c.srv.event(region, class, "xtrim", key)
	}
	switch {
	case was.there && !there && name != "del" && name != "rename_from":
		c.srv.event(region, 'g', "del", key)
	case name == "set" && at != 0 && at != was.expires:
		c.srv.event(region, 'g', "expire", key)
	}
}
