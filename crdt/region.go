package crdt

import (
	"cmp"
	"slices"
)

// Limits on what one entry may hold. Callers refuse more before they call; decoders refuse it from peers.
const (
	MaxRegionName  = 255
	MaxKeyBytes    = 64 << 10
	MaxValueBytes  = 1 << 20
	MaxOrigins     = 1 << 18 // origins in one region
	DefaultGhosts  = 1 << 16 // ghosts kept before the oldest are pruned
	maxAboveSpans  = 1 << 12 // ranges above the base of one origin, beyond which pushes are left to a pull
	wireSpansMax   = 1 << 16 // the same in a message: what several peers have seen in part may add up
	maxPieces      = 1 << 12 // pieces of an unfinished pull
	waitingMax     = 1 << 10 // pushed writes kept back until what they cover arrives
	waitingMaxSize = 1 << 20 // bytes of the same
)

// Mutant breaks one replication rule on purpose. It is for the simulation, which must notice.
type Mutant uint8

// The mutants: 1 to 5 are numbered as the rules of invariant H, 6 and 7 break what chunks rely on, 8 what lines rely on, 9 what
// values that are on disk alone rely on, 10 what bounded counters do.
const (
	MutantNone          Mutant = iota
	MutantBlindPush            // 1: a push applies although it covers dots not seen here
	MutantWriteContexts        // 2: a pull joins by what single writes covered, not by the sender's context
	MutantSilentPrune          // 3: pruning ghosts does not raise the floor
	MutantDropGhosts           // 4: a write drops ghosts that it does not cover
	MutantDropLosers           // 5: losers of last-writer-wins are dropped from the state
	MutantStaleCut             // 6: a chunk tells the context of the session's start, not the one of its moment
	MutantNoRangeCut           // 7: the puller keeps no context for a chunk's range, only the dots that came
	MutantSilentForget         // 8: forgetting what is below a line does not raise the line's floor
	MutantEvictDirty           // 9: a value leaves memory that is not on disk
	MutantHeirs                // 10: a start takes the rights that are left in the rows of its predecessors
)

// Config makes a Region. Only Name and Self are required.
type Config struct {
	Name string
	// Self is the origin of this incarnation's writes.
	Self Origin
	// Push keeps local writes for TakePush. Without peers leave it off: nothing is kept.
	Push bool
	// HashKey keys the hashes that place entries: the same on all replicas, and unknown to whoever writes keys.
	HashKey [16]byte
	// Causal makes peers show a write only after all that it comes after in this region, see causal.go.
	Causal bool
	// Track keeps the keys that changed for TakeChanged.
	Track bool
	// Volatile says that nobody calls TakeDirty: which cells changed is not kept, 16 to 20 bytes for each.
	Volatile bool
	// MaxGhosts is how many ghosts are kept before the oldest are pruned. 0 means DefaultGhosts.
	MaxGhosts int
	// MaxGhostBytes is how many bytes of memory ghosts may take, keys included, before the oldest are pruned. 0 means no limit.
	MaxGhostBytes int64
	// Small is up to how many live siblings a region is listed cell by cell for a peer below its floors, which takes
	// one round trip, rather than reconciled, which takes three. 0 means DefaultSmall. -1, for tests, lists none and
	// sends any number of entries early.
	Small int
	// Trace is told every local write before it is applied. It is for checkers, which must know each by itself.
	Trace func(Written)
	// Memory holds the entries and their indexes. Several regions may share one. nil means chunks of the Go heap, of
	// the region's own.
	Memory Memory
	// Chunks is where a region without a Memory gets its chunks, but for small ones, instead of the Go heap.
	Chunks Chunks
	// Values reads values back that left memory. nil: none leave.
	Values Values
	// MinAway is the least length of a value that leaves, bytes. 0 means DefaultAway.
	MinAway int
	// Packer compresses values that are large and cold. nil: none are.
	Packer Packer
	// MinPack is the least length of a value that is packed, bytes. 0 means DefaultPack.
	MinPack int
	// Mark sets a number to 1 that several Views may set at once. nil: no two read at once.
	Mark func(*uint32)
	// Mutant breaks a rule on purpose, for the simulation.
	Mutant Mutant
}

// Region is one replica of one region: a state machine without locks, clocks or I/O. Its methods are
// not safe for concurrent use, except that any number of Views may read while nothing else runs.
type Region struct {
	cfg       *Config // what a Family has in common: its Name, Self, Causal, Track, Memory and Chunks are not used
	name      string
	id        RegionID
	origin    Origin // of this incarnation's writes
	causal    bool   // see Config.Causal
	track     bool   // see Config.Track
	hasSelf   bool
	metaDirty bool
	general   bool   // tests: no write takes a short cut
	loading   bool   // a record of the durable image, which need not be written again
	loadAway  bool   // its values stay on disk
	self      uint32 // index of origin, once it has written
	origins   []originState
	byID      map[Origin]uint32 // nil while they are few
	store     store
	pieces    []piece
	clock     Clock
	heard     HLC             // the latest stamp of another origin
	out       *outbox         // nil: nothing waits to be pushed
	dirty     *dirtyList      // nil: nothing waits to be written
	changed   map[string]bool // keys that changed since the last TakeChanged
	expiry    expiryHeap
	expiring  int      // entries with an expiry
	flushes   int      // ghosts of whole-region removals
	orders    orderMap // see order.go

	arrived uint64 // siblings that came to be here, ever
	check   *Check // a check of the digest that is under way
	offers  uint64 // reconciliations begun, so that each has its own salt
	digest  uint64
	visible int
	live    int // siblings
	ghosts  int
	bytes   int64
	version uint64 // grows when the context or a piece grows
	pruned  uint64 // grows when a floor rises

	seldom *seldom // nil: nothing
	stats  Stats
}

// seldom is what most regions have none of.
type seldom struct {
	strange Seq // how far another process has raised the line of this node
	wrote   Seq // see Wrote
	waiting []waiter
	waitLen int      // bytes in waiting
	settle  []pos    // of cells with a reset for us to absorb, or a row of ours without its bounded counter
	free    []uint32 // slots of origins that were forgotten
	belows  int      // origins below their lines

	arrivals orderMap // of streams, by arrival
	entered  uint64   // entries of streams that came to be here, but for those of the durable image

	bounds int             // bounded counters that show
	asked  map[string]bool // keys of those of which others want rights, or gave us some

	away, lost              int // values that are on disk alone, and those of them that cannot be read
	awayBytes               int64
	lostSum                 uint64 // XOR of the hashes of those
	packed                  int    // those that are away and in memory, packed
	packedBytes, packedSize int64
}

var nothing seldom // is never written to

// aside is for who looks, setAside for who changes it.
func (r *Region) aside() *seldom {
	if r.seldom == nil {
		return &nothing
	}
	return r.seldom
}

func (r *Region) setAside() *seldom {
	if r.seldom == nil {
		r.seldom = &seldom{}
	}
	return r.seldom
}

// none reports whether nothing is set.
func (x *seldom) none() bool {
	return x.strange == 0 && x.wrote == 0 && len(x.waiting) == 0 && len(x.settle) == 0 && len(x.free) == 0 && x.belows == 0 && x.away == 0 &&
		len(x.arrivals) == 0 && x.entered == 0 &&
		x.bounds == 0 && len(x.asked) == 0
}

// Stats counts what happened to a replica since it was opened.
type Stats struct {
	LocalWrites  uint64 `json:"local_writes"` // dots issued here
	PushApplied  uint64 `json:"push_applied"` // pushed writes merged
	PushOld      uint64 `json:"push_old"`     // pushed writes seen before
	PushWaiting  uint64 `json:"push_waiting"` // pushed writes kept back until what they cover arrived
	PushDropped  uint64 `json:"push_dropped"` // pushed writes left for a pull
	ChunksMerged uint64 `json:"chunks_merged"`
	TipsMerged   uint64 `json:"tips_merged"` // siblings and ghosts that came by chunks
	GhostsPruned uint64 `json:"ghosts_pruned"`
	ClockSkewed  uint64 `json:"clock_skewed"` // stamps too far ahead to follow
	Forks        uint64 `json:"forks"`        // writes that came with another content than the one of the same dot here
	Mended       uint64 `json:"mended"`       // siblings written again, because a peer that had seen as much lacked them
}

type originState struct {
	id    Origin
	hash  uint64
	runs  Runs
	floor Seq
	told  *Runs // of a start of this node: what others are known to have seen of it
	index dotIndex
	dirty bool
	below bool // its line is beyond it: everything of it was seen
}

// toldRuns are told, or none.
func (o *originState) toldRuns() *Runs {
	if o.told == nil {
		return &Runs{}
	}
	return o.told
}

func (o *originState) has(s Seq) bool { return o.below || o.runs.Has(s) }

// free reports whether the slot is of no origin.
func (o *originState) free() bool { return o.id == Origin{} }

// ID is the region's name on the wire.
func (r *Region) ID() RegionID { return r.id }

// Name is the region's name.
func (r *Region) Name() string { return r.name }

// Self is the origin that local writes carry.
func (r *Region) Self() Origin { return r.origin }

// Digest is the XOR of a hash over every live sibling. Replicas with equal contexts have equal digests.
func (r *Region) Digest() uint64 { return r.digest }

// Entries is how many keys show something, expired ones that were not swept yet included.
func (r *Region) Entries() int { return r.visible }

// Siblings is how many dotted values are live; normally one for each register, member and field.
func (r *Region) Siblings() int { return r.live }

// Ghosts is how many removes are remembered.
func (r *Region) Ghosts() int { return r.ghosts }

// Bytes estimates what keys and values take, in bytes, without indexes and causal metadata.
func (r *Region) Bytes() int64 { return r.bytes }

// Stats gives the counters.
func (r *Region) Stats() Stats {
	s := r.stats
	s.ClockSkewed = r.clock.Skewed
	return s
}

// LocalWrites is Stats().LocalWrites.
func (r *Region) LocalWrites() uint64 { return r.stats.LocalWrites }

// Context copies the causal context: what every part of the replica has seen.
func (r *Region) Context() Context {
	c := make(Context, len(r.origins))
	for i := range r.origins {
		if o := &r.origins[i]; !o.runs.Empty() && !o.below {
			c[o.id] = o.runs.Clone()
		}
	}
	return c
}

// ContextHash fingerprints the causal context, unfinished pulls included.
func (r *Region) ContextHash() uint64 {
	var h uint64
	for i := range r.origins {
		if o := &r.origins[i]; !o.runs.Empty() && !o.below {
			h ^= o.runs.hash(o.id)
		}
	}
	for _, x := range r.canonicalPieces() {
		h ^= mix(mix(x.lo.e^x.extra.Hash(), x.lo.c), mix(x.hi.e, x.hi.c))
	}
	return h
}

// Covers reports whether this replica has seen everything in c.
func (r *Region) Covers(c Context) bool {
	for id, runs := range c {
		if !r.covers(id, runs) {
			return false
		}
	}
	return true
}

func (r *Region) covers(id Origin, runs Runs) bool {
	if i, ok := r.numberOf(id); ok {
		o := &r.origins[i]
		return o.below || o.runs.Covers(runs)
	}
	return runs.Empty() || r.below(id)
}

// MissingFrom counts the dots of ours that a replica with context c lacks, and those of c that we lack.
func (r *Region) MissingFrom(c Context) (theyLack, weLack uint64) {
	ours := r.Context()
	return c.Missing(ours), ours.Missing(c)
}

// Partial reports whether there is something of unfinished pulls, which the context does not tell.
func (r *Region) Partial() bool { return len(r.pieces) > 0 }

// Gaps reports whether some origin's writes have holes: a push was lost or came early.
func (r *Region) Gaps() bool { return r.holes() > 0 }

func (r *Region) holes() int {
	n := len(r.aside().waiting)
	for i := range r.origins {
		if o := &r.origins[i]; !o.below {
			n += len(o.runs.Above)
		}
	}
	return n
}

// Floors gives, per origin, the highest pruned ghost; per line, below which number all of them were.
func (r *Region) Floors() map[Origin]Seq {
	out := map[Origin]Seq{}
	for i := range r.origins {
		if o := &r.origins[i]; o.floor > 0 {
			out[o.id] = o.floor
		}
	}
	return out
}

// intern gives the origin's small integer in this region.
func (r *Region) intern(id Origin) uint32 {
	if i, ok := r.numberOf(id); ok {
		return i
	}
	o := originState{id: id, hash: originHash(id), dirty: true, below: r.below(id)}
	var i uint32
	if free := r.aside().free; len(free) > 0 {
		n := len(free) - 1
		i, r.setAside().free = free[n], free[:n]
		r.origins[i] = o
	} else {
		i = uint32(len(r.origins))
		r.origins = append(r.origins, o)
	}
	r.enrol(id, i)
	if o.below {
		r.setAside().belows++
	}
	return i
}

func (r *Region) dot(t tip) Dot { return Dot{r.origins[t.org].id, t.seq} }

// has reports whether the dot was incorporated at position p.
func (r *Region) has(p pos, d Dot) bool {
	return r.hasEverywhere(d) || len(r.pieces) > 0 && r.pieceAt(p).Has(d)
}

// everywhere reports whether the dot was incorporated in the whole replica.
func (r *Region) everywhere(t tip) bool { return r.origins[t.org].has(t.seq) }

func (r *Region) hasEverywhere(d Dot) bool {
	if i, ok := r.numberOf(d.Origin); ok {
		return r.origins[i].has(d.Seq)
	}
	return r.below(d.Origin)
}

// claim adds a dot to the context of the whole replica.
func (r *Region) claim(t tip) {
	if o := &r.origins[t.org]; !o.below && o.runs.Add(t.seq) {
		o.dirty = true
		r.version++
	}
}

func (r *Region) lookup(key string) entry { return r.find(r.store.key.string(0, key), key) }

func (r *Region) find(h uint64, key string) entry { return r.store.find(h, key) }

// upsert finds or makes a cell.
func (r *Region) upsert(key string, kind CellKind, sub string) *cell {
	c := new(cell)
	r.seek(c, key, kind, sub)
	return c
}

// hotKeep bounds what the handle of short writes keeps room for.
const hotKeep = 64

// handleKeep is from how many siblings on a region keeps what its writes use between one and the next.
const handleKeep = 64

// rest drops what the next write makes anew: there may be thousands of small regions, most of them at rest. TakePush, DropPush,
// TakeDirty and Push end with it; of a region whose driver calls none of them, because it keeps neither, what writes use stays.
func (r *Region) rest() {
	if r.live < handleKeep {
		r.store.scratch = nil
	}
	if r.seldom != nil && r.seldom.none() {
		r.seldom = nil
	}
}

// handle is for a write that is over before another begins: it saves an allocation.
func (r *Region) handle() *cell {
	c := &r.store.working().hot
	if cap(c.sibs) > hotKeep || cap(c.ghosts) > hotKeep || cap(c.name) > 16*hotKeep {
		*c = cell{}
	}
	return c
}

// seek makes c the handle on a cell that is there, or on one to be.
func (r *Region) seek(c *cell, key string, kind CellKind, sub string) {
	h := r.store.key.entry(key, kind)
	e := r.find(h, key)
	if !e.ok() {
		e.hash = h
	}
	r.seekIn(c, e, key, kind, sub)
}

// seekIn is seek where the entry was found, or only its hash is known.
func (r *Region) seekIn(c *cell, e entry, key string, kind CellKind, sub string) {
	if !e.many() && e.ok() {
		if p := unpack(e.b); p.kind == kind && string(p.sub) == sub {
			e.s.take(c, &p, e.ref, e)
			return
		}
	} else if ref := e.record(kind, sub); ref != 0 {
		e.load(c, ref)
		return
	}
	c.name = append(append(c.name[:0], key...), sub...)
	c.key, c.sub = c.name[:len(key):len(key)], c.name[len(key):]
	c.at, c.kind = pos{e.hash, r.store.key.cell(kind, sub)}, kind
	c.ref, c.in, c.epoch, c.dirty, c.arrival = 0, e.ref, r.store.epoch, false, 0
	c.sibs, c.ghosts, c.fresh = c.sibs[:0], c.ghosts[:0], c.fresh[:0]
}

// change runs fn, which alters the cell's siblings or ghosts, and keeps every derived figure right.
func (r *Region) change(c *cell, fn func()) {
	was := c.present()
	fn()
	r.recount(c, was)
}

// recount writes a cell back whose siblings or ghosts were altered.
func (r *Region) recount(c *cell, was bool) {
	is := c.present()
	shown, exp := false, int64(0)
	if is != was {
		shown = r.store.entryAt(c.in).kind() != KindNone
	}
	if c.kind == CellExpiry {
		exp = r.store.entryAt(c.in).exp()
	}
	r.touch(c)
	r.put(c, was)
	if c.kind == CellBound {
		r.noteBound(c, was, is)
	}
	if is != was {
		after := r.store.entryAt(c.in).kind() != KindNone
		if after && !shown {
			r.visible++
		} else if shown && !after {
			r.visible--
		}
	}
	if c.kind == CellExpiry {
		r.updateExpiry(c, exp)
		r.expires(c.in)
	}
}

// touch marks a cell for the next checkpoint and its key as changed.
func (r *Region) touch(c *cell) {
	if !r.loading && !r.cfg.Volatile {
		r.unwritten().mark(c)
	}
	if r.track && !c.scopes() {
		r.noteChange(c.key)
	}
}

func (r *Region) noteChange(key []byte) {
	if r.changed[string(key)] {
		return
	}
	if r.changed == nil {
		r.changed = map[string]bool{}
	}
	r.changed[string(key)] = true
}

// The four primitives below are the only ways in which siblings and ghosts come and go. They keep the
// digest, the dot index and the counts; callers wrap them in change.

// count notes that a sibling came or went at a position.
func (r *Region) count(at pos, h uint64) {
	r.digest ^= h
	if v := r.check; v != nil && at.less(v.at) {
		v.sum ^= h
	}
}

func (r *Region) addSibling(c *cell, s sibling) {
	if cap(c.sibs) == 0 {
		c.sibs = c.room[:0]
	}
	c.sibs = append(c.sibs, s)
	r.count(c.at, r.siblingHash(c, &s))
	r.addDot(c, s.tip)
	r.live++
	r.arrived++
	r.bytes += int64(s.length())
	if s.away { // of a record that says so
		x := r.setAside()
		x.away++
		x.awayBytes += int64(s.size)
		x.lost++
		x.lostSum ^= s.hash
	}
	if s.tag == TagRow && !r.loading {
		r.noteRow(c, &s)
	}
	if s.tag == TagReset && r.resetsUs(&s) {
		r.setAside().settle = append(r.aside().settle, c.at)
	}
}

func (r *Region) dropSibling(c *cell, i int) {
	s := c.sibs[i]
	r.count(c.at, r.siblingHash(c, &s))
	c.sibs = append(c.sibs[:i], c.sibs[i+1:]...)
	r.live--
	r.bytes -= int64(s.length())
	if s.away {
		r.forgetAway(&s)
	}
	r.dropDot(c, s.tip)
}

func (r *Region) addGhost(c *cell, t tip) {
	c.ghosts = append(c.ghosts, t)
	r.addDot(c, t)
	r.ghosts++
	if c.kind == CellFlush {
		r.flushes++
	}
}

func (r *Region) dropGhost(c *cell, i int) {
	t := c.ghosts[i]
	c.ghosts = slices.Delete(c.ghosts, i, i+1)
	r.ghosts--
	r.dropDot(c, t)
	if c.kind == CellFlush {
		r.flushes--
	}
}

// addDot keeps a dot for the index until its record is known.
func (r *Region) addDot(c *cell, t tip) {
	if cap(c.fresh) == 0 {
		c.fresh = c.first[:0]
	}
	c.fresh = append(c.fresh, t)
}

func (r *Region) dropDot(c *cell, t tip) {
	if i := slices.Index(c.fresh, t); i >= 0 {
		c.fresh = slices.Delete(c.fresh, i, i+1)
		return
	}
	r.origins[t.org].index.drop(&r.store, t.seq, c.ref)
}

// flushed is the cell of ghosts of whole-region removals, or nil.
func (r *Region) flushed() *cell {
	if r.flushes == 0 {
		return nil
	}
	return r.find(0, "").cell(CellFlush, "")
}

// dropTip removes a dot from the cell, whichever it is there.
func (r *Region) dropTip(c *cell, t tip) {
	if i := c.sibling(t); i >= 0 {
		r.dropSibling(c, i)
	} else if i := slices.Index(c.ghosts, t); i >= 0 {
		r.dropGhost(c, i)
	}
}

// dropWhere removes the siblings and ghosts that the functions pick. A nil function picks none.
func (r *Region) dropWhere(c *cell, sib func(*sibling) bool, ghost func(tip) bool) {
	for i := len(c.sibs) - 1; sib != nil && i >= 0; i-- {
		if sib(&c.sibs[i]) {
			r.dropSibling(c, i)
		}
	}
	for i := len(c.ghosts) - 1; ghost != nil && i >= 0; i-- {
		if ghost(c.ghosts[i]) {
			r.dropGhost(c, i)
		}
	}
}

func (r *Region) siblingHash(c *cell, s *sibling) uint64 {
	if s.away {
		return s.hash
	}
	return r.valueHash(c.at, s.tip, s.hlc, s.tag, s.val)
}

// valueHash is siblingHash of a sibling that is in memory.
func (r *Region) valueHash(at pos, dot tip, hlc HLC, tag Tag, val []byte) uint64 {
	h := mix(r.origins[dot.org].hash, uint64(dot.seq))
	h = mix(h^at.e, at.c)
	h = mix(h^uint64(hlc), uint64(tag))
	return r.store.key.bytes(h, val)
}

// laterSibling orders siblings for the last-writer-wins view: by stamp, then by dot.
func (r *Region) laterSibling(a, b *sibling) int {
	if a.hlc != b.hlc {
		return cmp.Compare(a.hlc, b.hlc)
	}
	if a.org != b.org {
		return r.origins[a.org].id.Compare(r.origins[b.org].id)
	}
	return cmp.Compare(a.seq, b.seq)
}

// winner is the register sibling that the last-writer-wins view shows, or nil.
func (r *Region) winner(c *cell) *sibling {
	var best *sibling
	for i := range c.sibs {
		if s := &c.sibs[i]; s.tag == TagReg && (best == nil || r.laterSibling(s, best) > 0) {
			best = s
		}
	}
	return best
}

// Version grows whenever the replica has seen something new.
func (r *Region) Version() uint64 { return r.version }

// OverBudget reports whether ghosts are more, or take more, than the configuration allows: Tick forgets some.
func (r *Region) OverBudget() bool {
	return r.ghosts > r.cfg.MaxGhosts || r.cfg.MaxGhostBytes > 0 && r.store.use[forGhost] > r.cfg.MaxGhostBytes
}

// DropPush forgets the local writes that were not pushed yet, and reports whether there were any. Peers get
// them by a pull.
func (r *Region) DropPush() bool {
	o := r.out
	r.rest()
	if r.out = nil; o == nil {
		return false
	}
	if r.causal {
		r.out = &outbox{past: past{told: o.past.told}}
	}
	return len(o.ops) > 0
}

// Seen counts the dots that were seen everywhere in the replica, as far as their origins were not forgotten.
func (r *Region) Seen() uint64 {
	var n uint64
	for i := range r.origins {
		o := &r.origins[i]
		n += o.runs.countOf(o.id)
	}
	return n
}
