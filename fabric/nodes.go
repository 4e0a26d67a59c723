package fabric

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/edgemem/edgemem/crdt"
)

// nodesRegion says of every node which incarnation writes for it, whether it is retired, and what is wrong with it. It is
// replicated like any other region, and neither listed nor open to users. Its keys are node ids, its values maps:
//
//	origin       hexadecimal origin of the running incarnation, and when it started, Unix ms
//	name, tier   as in the certificate
//	labels       key=value with commas, as the node was started with
//	link         what it costs to reach others (links.go)
//	does         "bounded": it answers requests for rights of bounded counters
//	retired      when, Unix ms, which origin was the last, and by which node
//	alarm.KIND   since when, Unix ms, and what was found
//
// A node writes its own record when its incarnation first writes to any region: a restart that only reads adds no writer
// anywhere, unless a region has bounded counters, of which others may leave it rights.
const nodesRegion = reservedPrefix + "nodes"

const (
	fieldOrigin  = "origin"
	fieldName    = "name"
	fieldTier    = "tier"
	fieldDoes    = "does"
	fieldRetired = "retired"
	fieldAlarm   = "alarm."
)

const (
	nodesMax    = 1 << 16 // records that are read; further ones are kept and passed on, but not listed
	nodeIDMax   = 128     // bytes of a key that can name a node
	nodeTextMax = 512     // bytes of a name or a detail that are shown
)

// claim says that an incarnation writes for a node.
type claim struct {
	origin crdt.Origin
	since  time.Time
}

func (c claim) encode() []byte {
	return fmt.Appendf(nil, "%x %d", c.origin[:], c.since.UnixMilli())
}

// parseClaim reads what encode wrote; false for anything else.
func parseClaim(b []byte) (c claim, ok bool) {
	digits, ms, _ := strings.Cut(string(b), " ")
	c.since, _ = parseInstant(ms)
	return c, c.origin.UnmarshalText([]byte(digits)) == nil
}

// Retirement says that a node will not come back.
type Retirement struct {
	At time.Time   `json:"at"`
	By crdt.NodeID `json:"by"`

	last crdt.Origin // what the node wrote as until then; zero: nothing was known
}

func (t Retirement) encode() []byte { return encodeNote(t.At, fmt.Sprintf("%x %s", t.last[:], t.By)) }

// parseRetirement reads what encode wrote, or nil.
func parseRetirement(b []byte) *Retirement {
	at, rest, ok := parseNote(b)
	digits, by, _ := strings.Cut(rest, " ")
	t := &Retirement{At: at, By: crdt.NodeID(by)}
	if !ok || t.last.UnmarshalText([]byte(digits)) != nil {
		return nil
	}
	return t
}

// encodeNote writes an instant and a text.
func encodeNote(at time.Time, text string) []byte {
	return fmt.Appendf(nil, "%d %s", at.UnixMilli(), text)
}

// parseNote reads what encodeNote wrote; false for anything else. The text is cut to what can be shown.
func parseNote(b []byte) (at time.Time, text string, ok bool) {
	ms, text, _ := strings.Cut(string(b), " ")
	at, ok = parseInstant(ms)
	return at, shown(text), ok
}

func parseInstant(ms string) (time.Time, bool) {
	n, err := strconv.ParseInt(ms, 10, 64)
	return time.UnixMilli(n), err == nil
}

// shown makes a text from elsewhere fit for a table and a terminal.
func shown(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), nodeTextMax)], "")
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, s)
}

// nodeRecord is one record, read.
type nodeRecord struct {
	name, tier string
	labels     map[string]string
	does       string
	link       *linkNote // nil: it moves no copies, or knows of no region that is not everywhere
	claims     []claim   // the one that shows first; more than one: they were written concurrently
	retired    *Retirement
	alarms     map[string]alarmNote // by kind
}

// origin is the incarnation that writes for the node, as far as is known.
func (n *nodeRecord) origin() (claim, bool) {
	if len(n.claims) == 0 {
		return claim{}, false
	}
	return n.claims[0], true
}

// readRecord reads a record, or nil where there is none.
func readRecord(v *crdt.View, id string) *nodeRecord {
	if len(id) > nodeIDMax || v.Kind(id) != crdt.KindMap {
		return nil
	}
	text := func(field string) []byte { b, _, _ := v.MapGet(id, field); return b }
	n := &nodeRecord{name: shown(string(text(fieldName))), tier: shown(string(text(fieldTier))), labels: decodeLabels(string(text(fieldLabels))), does: string(text(fieldDoes))}
	for _, s := range v.MapSiblings(id, fieldOrigin) {
		if c, ok := parseClaim(s.Value); ok {
			n.claims = append(n.claims, c)
		}
	}
	n.retired, n.link = parseRetirement(text(fieldRetired)), parseLink(text(fieldLink))
	for _, kind := range alarmKinds {
		if at, detail, ok := parseNote(text(fieldAlarm + kind)); ok {
			if n.alarms == nil {
				n.alarms = map[string]alarmNote{}
			}
			n.alarms[kind] = alarmNote{since: at, detail: detail}
		}
	}
	return n
}

// roster keeps the records read, and this node's own in order. Its lock comes before those of regions.
type roster struct {
	f *Fabric
	r *Region

	owes    atomic.Bool // this incarnation has written,
	claimed atomic.Bool // and stands in the record

	mu      sync.Mutex // one reader of the region at a time: the last one sees the last state
	nodes   map[crdt.NodeID]*nodeRecord
	noted   map[crdt.NodeID]*nodeRecord // those with an alarm or a retirement
	self    identity
	through map[crdt.NodeID]time.Time // when writes of a node that is not connected came through others
	told    map[alarmKey]bool         // alarms that are in the log
	late    Commit                    // the last write of ours
}

func newRoster(f *Fabric) *roster {
	return &roster{f: f, nodes: map[crdt.NodeID]*nodeRecord{}, noted: map[crdt.NodeID]*nodeRecord{}, told: map[alarmKey]bool{}, through: map[crdt.NodeID]time.Time{}, self: newIdentity()}
}

// open reads the whole region. From then on it keeps note of what changes in it.
func (n *roster) open() error {
	past, err := n.f.pastOrigins()
	if err != nil {
		return err
	}
	n.r.ack.Store(ackDisk)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.self.past = past
	n.r.mu.Lock()
	n.r.core.Track(true)
	v := n.r.core.View(n.f.now())
	var ids []string
	v.KeysWithPrefix("", func(id string, _ crdt.Kind) bool { ids = append(ids, id); return true })
	n.take(v, ids)
	n.r.mu.Unlock()
	for _, c := range n.own().claims { // on the disk of this node: its own past, or that of the node it was copied from
		n.self.past[c.origin] = true
	}
	n.tell()
	return nil
}

// read takes over what changed in the region, and answers it.
func (n *roster) read() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refresh()
	n.settle()
	n.tell()
}

// refresh takes over what changed. The caller holds mu.
func (n *roster) refresh() {
	n.r.mu.Lock()
	defer n.r.mu.Unlock()
	if ids := n.r.core.TakeChanged(); len(ids) > 0 {
		n.take(n.r.core.View(n.f.now()), ids)
	}
}

func (n *roster) take(v *crdt.View, ids []string) {
	for _, key := range ids {
		id, rec := crdt.NodeID(key), readRecord(v, key)
		delete(n.noted, id)
		if rec == nil {
			delete(n.nodes, id)
			delete(n.through, id)
			continue
		}
		if n.nodes[id] == nil && len(n.nodes) >= nodesMax {
			continue
		}
		n.nodes[id] = rec
		if len(rec.alarms) > 0 || rec.retired != nil {
			n.noted[id] = rec
		}
	}
}

// own is this node's record; an empty one where there is none. The caller holds mu.
func (n *roster) own() *nodeRecord { return n.record(n.f.cfg.Node) }

func (n *roster) record(id crdt.NodeID) *nodeRecord {
	if rec := n.nodes[id]; rec != nil {
		return rec
	}
	return &nodeRecord{}
}

// write changes records. What is written is this incarnation's doing, so its claim goes with it. The caller holds mu.
func (n *roster) write(fn func(tx *crdt.Tx) error) error {
	c, _, err := n.r.write(func(tx *crdt.Tx) error {
		if n.f.cfg.Transport != nil && !n.claimed.Load() {
			n.putClaim(tx)
		}
		return fn(tx)
	}, false)
	if c.c != nil { // with nobody waiting the committer would take its time, and a crash would make the claim a surprise
		c.c.hurry()
		c.durable = true
	}
	n.late = c
	n.refresh()
	return err
}

// update changes records from outside, and waits for the disk.
func (n *roster) update(fn func(tx *crdt.Tx) error) (Commit, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.write(fn)
	n.settle()
	n.tell()
	return n.late, err
}

// owe notes that something was written here, to any region. The claim follows when the region's lock is free; see wrote.
func (n *roster) owe() {
	if !n.claimed.Load() {
		n.owes.Store(true)
	}
}

// wrote writes the claim that is owed. The caller holds no lock.
func (n *roster) wrote() {
	if n.claimed.Load() || !n.owes.Load() || n.f.cfg.Transport == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.claimed.Load() {
		n.claim()
		n.tell()
	}
}

// writers gives the node that each running incarnation writes for, this one included.
func (n *roster) writers() map[crdt.Origin]crdt.NodeID {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make(map[crdt.Origin]crdt.NodeID, len(n.nodes)+1)
	for id, rec := range n.nodes {
		for _, c := range rec.claims {
			out[c.origin] = id
		}
	}
	out[n.f.Origin()] = n.f.cfg.Node
	return out
}
