package crdt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
)

// A bounded counter never passes its limit, however its replicas are cut off from each other: what there is between the value and the
// limit is divided into rights, each of which one incarnation holds, and who moves the value towards the limit spends rights that it
// holds itself (escrow: O'Neil, "The escrow transactional method", 1986; Balegas et al., "Extending eventually consistent cloud databases
// for enforcing numeric invariants", 2015). Who moves it away earns as many. The limit is a floor or a ceiling; a value with both is two
// counters.
//
//	CellBound     the counter: its head and its rows, siblings of one cell, so that whoever has one has all that it comes after
//	head          TagReg: the generation, initial value, limit, floor or ceiling. It is written once, by who creates the counter
//	row           TagRow: what one incarnation, its owner, has done in one generation. Every number in it only grows
//	                earned, spent    by the owner
//	                given[to]        rights that the owner passed on, and the last request of that one which it answered
//	                got[from]        rights that the owner has taken of those given to it
//	                want             a request: so many rights from one holder, numbered
//
//	rights        of a row: earned − spent + Σ got − Σ given, and initial − limit to who created the counter
//	value         initial + Σ (earned − spent); the other way round below a ceiling
//
// Only its owner changes a row, and a row comes after the rows that it got from, so that the sum over any replica's rows of what they
// may spend is what its value is from its limit, and none of it is negative.
//
// Rights end with their incarnation. To take over those of one's predecessor would be wrong: its row on a disk may be older than itself,
// and others may start from copies of the disk. They are passed on before an orderly end (BoundedGive); what is left in the row of an
// incarnation that crashed nobody can spend, until the counter is begun anew (BoundedRenew). So do those of one that gave up its replica and
// took another (Region.Wrote): of its own last writes it may not hear.
//
// A removal ends the generation. What others do to it concurrently does not count any more, earnings and spendings alike, and never
// counts in the next one. Of several counters that were created concurrently under one key the latest shows, with its own rows.
//
// Where one origin wrote in two lives, or replicas mend each other, a row may be there twice; of each number the larger counts. What two
// lives spent of the same rights can then be more than there was: the value that shows stays at the limit.
//
//	cost          a write is O(bytes of the cell): about 40 for each incarnation that took part, and 20 to 35 for each of its transfers

// MaxBounded bounds a bounded counter's distance from its limit, and what one incarnation does to it.
const MaxBounded = 1 << 61

// boundedPeersMax is to and from how many incarnations one may transfer rights of one counter.
const boundedPeersMax = 512

// Errors of bounded counters.
var (
	ErrNoBounded     = errors.New("crdt: there is no bounded counter")
	ErrBoundedExists = errors.New("crdt: there is a bounded counter")
	ErrBeyondLimit   = errors.New("crdt: the value is beyond the limit")
	ErrNoRights      = errors.New("crdt: not enough rights here")
)

// RightsError is ErrNoRights with the numbers.
type RightsError struct {
	Want, Here int64 // rights that the operation needs, and those that this incarnation holds
	All        int64 // what the value is from the limit, as far as is known here
}

// Error says how many rights are here, of how many that it takes.
func (e *RightsError) Error() string {
	return fmt.Sprintf("%v: %d wanted, %d here, %d in all", ErrNoRights, e.Want, e.Here, e.All)
}

// Unwrap is ErrNoRights.
func (e *RightsError) Unwrap() error { return ErrNoRights }

// Bounded is what a bounded counter shows.
type Bounded struct {
	Value, Limit int64
	Ceiling      bool // the value never passes the limit upwards; else downwards
	Here         int64
}

// Left is what the value is from the limit.
func (b Bounded) Left() int64 {
	if b.Ceiling {
		return b.Limit - b.Value
	}
	return b.Value - b.Limit
}

// BoundedRights is what one incarnation holds.
type BoundedRights struct {
	Origin Origin
	Rights int64
}

// boundHead is a head, decoded.
type boundHead struct {
	gen            Dot
	initial, limit int64
	ceiling        bool
}

func (h *boundHead) room() int64 {
	if h.ceiling {
		return h.limit - h.initial
	}
	return h.initial - h.limit
}

func (h *boundHead) encode() []byte {
	b := append(make([]byte, 0, 40), h.gen.Origin[:]...)
	b = binary.AppendUvarint(b, uint64(h.gen.Seq))
	b = binary.AppendVarint(b, h.initial)
	b = binary.AppendVarint(b, h.limit)
	if h.ceiling {
		return append(b, 1)
	}
	return append(b, 0)
}

// decodeBoundHead gives false for what no version writes.
func decodeBoundHead(b []byte) (h boundHead, ok bool) {
	d := decoder{b: b}
	copy(h.gen.Origin[:], d.take(len(h.gen.Origin)))
	h.gen.Seq = Seq(d.uvarint())
	h.initial, h.limit = d.varint(), d.varint()
	kind := d.byte()
	h.ceiling = kind == 1
	return h, d.done() == nil && kind <= 1 && fitsBounded(h.initial, h.limit, h.ceiling) == nil
}

// fitsBounded refuses what a counter cannot begin with.
func fitsBounded(initial, limit int64, ceiling bool) error {
	h := boundHead{initial: initial, limit: limit, ceiling: ceiling}
	switch {
	case max(initial, limit) > MaxBounded, min(initial, limit) < -MaxBounded:
		return ErrOverflow
	case h.room() < 0:
		return ErrBeyondLimit
	case h.room() > MaxBounded:
		return ErrOverflow
	}
	return nil
}

// boundRow is a row, decoded. given and got are in the order of their origins.
type boundRow struct {
	owner         Origin
	gen           Dot
	earned, spent int64
	given, got    []boundTransfer
	want          boundTransfer // request is 0: none
}

// boundTransfer is rights given to an incarnation, got from it, or wanted from it.
type boundTransfer struct {
	peer    Origin
	rights  int64
	request uint64 // in given, the last of the peer's that was answered
}

func (t boundTransfer) append(b []byte, numbered bool) []byte {
	b = binary.AppendUvarint(append(b, t.peer[:]...), uint64(t.rights))
	if numbered {
		b = binary.AppendUvarint(b, t.request)
	}
	return b
}

func (w *boundRow) encode() []byte {
	b := append(make([]byte, 0, 48+40*(len(w.given)+len(w.got))), w.owner[:]...)
	b = append(b, w.gen.Origin[:]...)
	for _, x := range []uint64{uint64(w.gen.Seq), uint64(w.earned), uint64(w.spent)} {
		b = binary.AppendUvarint(b, x)
	}
	b = binary.AppendUvarint(b, uint64(len(w.given)))
	for _, t := range w.given {
		b = t.append(b, true)
	}
	b = binary.AppendUvarint(b, uint64(len(w.got)))
	for _, t := range w.got {
		b = t.append(b, false)
	}
	if w.want.request == 0 {
		return append(b, 0)
	}
	return w.want.append(append(b, 1), true)
}

// decodeBoundRow gives false for what no version writes.
func decodeBoundRow(b []byte) (w boundRow, ok bool) {
	d := decoder{b: b}
	copy(w.owner[:], d.take(len(w.owner)))
	copy(w.gen.Origin[:], d.take(len(w.gen.Origin)))
	w.gen.Seq = Seq(d.uvarint())
	w.earned, w.spent = d.rights(), d.rights()
	w.given, w.got = d.transfers(true), d.transfers(false)
	switch d.byte() {
	case 0:
	case 1:
		if w.want = d.transfer(true); w.want.request == 0 {
			d.fail("a request without a number")
		}
	default:
		d.fail("a row of an unknown form")
	}
	return w, d.done() == nil
}

// rights reads a number that sums of a few never make wrap.
func (d *decoder) rights() int64 {
	n := d.uvarint()
	if n > MaxBounded {
		d.fail("%d rights", n)
		return 0
	}
	return int64(n)
}

func (d *decoder) transfer(numbered bool) (t boundTransfer) {
	copy(t.peer[:], d.take(len(t.peer)))
	t.rights = d.rights()
	if numbered {
		t.request = d.uvarint()
	}
	return t
}

func (d *decoder) transfers(numbered bool) (out []boundTransfer) {
	n := d.count(len(Origin{}) + 1)
	if n > boundedPeersMax {
		d.fail("transfers with %d incarnations", n)
		return nil
	}
	for range n {
		t := d.transfer(numbered)
		if len(out) > 0 && out[len(out)-1].peer.Compare(t.peer) >= 0 {
			d.fail("transfers out of order")
		}
		out = append(out, t)
	}
	return out
}

// transferIn finds the transfer with a peer, or makes one.
func transferIn(all *[]boundTransfer, peer Origin) *boundTransfer {
	i, found := slices.BinarySearchFunc(*all, peer, func(t boundTransfer, o Origin) int { return t.peer.Compare(o) })
	if !found {
		*all = slices.Insert(*all, i, boundTransfer{peer: peer})
	}
	return &(*all)[i]
}

// rightsIn is what was transferred with a peer.
func rightsIn(all []boundTransfer, peer Origin) (t boundTransfer) {
	if i, found := slices.BinarySearchFunc(all, peer, func(t boundTransfer, o Origin) int { return t.peer.Compare(o) }); found {
		return all[i]
	}
	return t
}

// join takes over what another copy of the row has more.
func (w *boundRow) join(x *boundRow) {
	w.earned, w.spent = max(w.earned, x.earned), max(w.spent, x.spent)
	for _, l := range []struct {
		into *[]boundTransfer
		from []boundTransfer
	}{{&w.given, x.given}, {&w.got, x.got}} {
		for _, t := range l.from {
			have := transferIn(l.into, t.peer)
			have.rights, have.request = max(have.rights, t.rights), max(have.request, t.request)
		}
	}
	if x.want.request > w.want.request {
		w.want = x.want
	}
}

// rights is what the owner may spend of what it has taken.
func (w *boundRow) rights(h *boundHead) int64 {
	var n wide
	if w.owner == h.gen.Origin {
		n.add(h.room())
	}
	n.add(w.earned)
	n.add(-w.spent)
	for _, t := range w.got {
		n.add(t.rights)
	}
	for _, t := range w.given {
		n.add(-t.rights)
	}
	return n.int64()
}

// wide is a sum of numbers of 64 bits.
type wide struct {
	hi int64
	lo uint64
}

func (w *wide) add(x int64) {
	lo, carry := bits.Add64(w.lo, uint64(x), 0)
	w.lo, w.hi = lo, w.hi+x>>63+int64(carry)
}

// int64 is the nearest number of 64 bits.
func (w *wide) int64() int64 {
	switch x := int64(w.lo); {
	case w.hi == x>>63:
		return x
	case w.hi < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

// bound is a bounded counter, decoded: the generation that shows and its rows, in the order of their owners.
type bound struct {
	boundHead
	head tip // the sibling
	rows []boundRow
}

// boundIn decodes a cell. ok is false where no counter shows.
func (r *Region) boundIn(c *cell) (b bound, ok bool) {
	if c == nil {
		return b, false
	}
	var best *sibling
	for i := range c.sibs {
		s := &c.sibs[i]
		if s.tag != TagReg || best != nil && r.laterSibling(s, best) < 0 {
			continue
		}
		if h, good := decodeBoundHead(s.val); good {
			best, b.boundHead, b.head = s, h, s.tip
		}
	}
	if best == nil {
		return b, false
	}
	for i := range c.sibs {
		if s := &c.sibs[i]; s.tag == TagRow {
			if w, good := decodeBoundRow(s.val); good && w.gen == b.gen {
				b.take(w)
			}
		}
	}
	return b, true
}

// take adds a row, or joins it to another copy.
func (b *bound) take(w boundRow) {
	i, found := b.find(w.owner)
	if found {
		b.rows[i].join(&w)
		return
	}
	b.rows = slices.Insert(b.rows, i, w)
}

func (b *bound) find(owner Origin) (int, bool) {
	return slices.BinarySearchFunc(b.rows, owner, func(w boundRow, o Origin) int { return w.owner.Compare(o) })
}

// row is an incarnation's row; one without numbers where there is none.
func (b *bound) row(owner Origin) boundRow {
	if i, found := b.find(owner); found {
		return b.rows[i]
	}
	return boundRow{owner: owner, gen: b.gen}
}

// waiting is what was given to a row's owner and it has not taken yet.
func (b *bound) waiting(w *boundRow) int64 {
	var n wide
	for i := range b.rows {
		n.add(max(0, rightsIn(b.rows[i].given, w.owner).rights-rightsIn(w.got, b.rows[i].owner).rights))
	}
	return n.int64()
}

// held is what a row's owner may spend.
func (b *bound) held(w *boundRow) int64 {
	var n wide
	n.add(w.rights(&b.boundHead))
	n.add(b.waiting(w))
	return n.int64()
}

// value is what the counter shows.
func (b *bound) value() int64 {
	var moved wide
	for i := range b.rows {
		moved.add(b.rows[i].earned)
		moved.add(-b.rows[i].spent)
	}
	if b.ceiling {
		x := moved.int64()
		moved = wide{}
		moved.add(-max(x, -math.MaxInt64))
	}
	moved.add(b.initial)
	if b.ceiling {
		return min(moved.int64(), b.limit)
	}
	return max(moved.int64(), b.limit)
}

// shown is what a reader at an incarnation sees.
func (b *bound) shown(self Origin) Bounded {
	mine := b.row(self)
	return Bounded{Value: b.value(), Limit: b.limit, Ceiling: b.ceiling, Here: max(0, b.held(&mine))}
}

// parted reports whether this incarnation may have a row that it does not know: it wrote to a replica that is no more, whose last writes need not
// be elsewhere. It may then take no part but in counters that it began since.
func (r *Region) parted(b *bound) bool {
	wrote := r.aside().wrote
	return wrote > 0 && (b.gen.Origin != r.origin || b.gen.Seq <= wrote)
}

// errParted is what it is told.
var errParted = fmt.Errorf("%w: this incarnation gave up the replica in which it held some", ErrNoRights)

// shownHere is what a reader sees here.
func (r *Region) shownHere(b *bound) Bounded {
	s := b.shown(r.origin)
	if r.parted(b) {
		s.Here = 0
	}
	return s
}

// bounded gives the counter at key for a change of this incarnation's row, and its cell.
func (t *Tx) bounded(key string) (*cell, bound, error) {
	c, b, err := t.boundedAny(key)
	if err == nil && t.r.parted(&b) {
		err = errParted
	}
	return c, b, err
}

// boundedAny gives the counter at key for a write, and its cell.
func (t *Tx) boundedAny(key string) (*cell, bound, error) {
	if err := fits(key, "", nil); err != nil {
		return nil, bound{}, err
	}
	e, err := t.need(key, KindBounded)
	if err != nil {
		return nil, bound{}, err
	}
	c := e.cell(CellBound, "")
	b, ok := t.r.boundIn(c)
	if !ok {
		return nil, bound{}, ErrNoBounded
	}
	if t.r.cfg.Mutant == MutantHeirs {
		b.inherit(t.r.origin)
	}
	return c, b, nil
}

// BoundedNew creates a counter, all rights of which are here. The limit is its floor, or its ceiling. Errors: ErrWrongType,
// ErrBoundedExists, ErrBeyondLimit, ErrOverflow, ErrTooLarge.
func (t *Tx) BoundedNew(key string, initial, limit int64, ceiling bool) error {
	if err := cmp.Or(fits(key, "", nil), fitsBounded(initial, limit, ceiling)); err != nil {
		return err
	}
	e, err := t.need(key, KindBounded)
	if err != nil {
		return err
	}
	if _, ok := t.r.boundIn(e.cell(CellBound, "")); ok {
		return ErrBoundedExists
	}
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellBound, "")
	t.beginBound(c, boundHead{initial: initial, limit: limit, ceiling: ceiling})
	return nil
}

// beginBound writes the head of a new generation over all that the cell holds.
func (t *Tx) beginBound(c *cell, h boundHead) {
	h.gen = Dot{t.r.origin, t.r.OwnTop() + 1}
	t.write(c, TagReg, h.encode(), nil)
}

// BoundedRenew begins the counter anew with the value that shows here, and all rights here: also those of incarnations that have ended.
// It ends what others hold: what they spend until they see it is not in the new counter. Errors: ErrNoBounded, ErrWrongType, ErrTooLarge.
func (t *Tx) BoundedRenew(key string) (Bounded, error) {
	c, b, err := t.boundedAny(key)
	if err != nil {
		return Bounded{}, err
	}
	h := boundHead{initial: b.value(), limit: b.limit, ceiling: b.ceiling}
	if err := fitsBounded(h.initial, h.limit, h.ceiling); err != nil {
		return Bounded{}, err
	}
	t.beginBound(c, h)
	return Bounded{Value: h.initial, Limit: h.limit, Ceiling: h.ceiling, Here: h.room()}, nil
}

// BoundedAdd adds delta, and gives what the counter shows then. Errors: ErrNoBounded, ErrWrongType, ErrOverflow, ErrTooLarge, and a
// RightsError where this incarnation holds less rights than the move towards the limit takes; then nothing was written.
func (t *Tx) BoundedAdd(key string, delta int64) (Bounded, error) {
	c, b, err := t.bounded(key)
	if err != nil {
		return Bounded{}, err
	}
	mine := b.row(t.r.origin)
	if delta == math.MinInt64 || max(delta, -delta) > MaxBounded {
		return b.shown(t.r.origin), ErrOverflow
	}
	if b.ceiling {
		delta = -delta
	}
	if delta >= 0 {
		if mine.earned > MaxBounded-delta || b.shown(t.r.origin).Left() > MaxBounded-delta {
			return b.shown(t.r.origin), ErrOverflow
		}
		mine.earned += delta
		return t.putRow(c, &b, mine, false), nil
	}
	need := -delta
	if mine.spent > MaxBounded-need {
		return b.shown(t.r.origin), ErrOverflow
	}
	took := false
	if mine.rights(&b.boundHead) < need {
		if s := b.shown(t.r.origin); s.Here < need {
			return s, &RightsError{Want: need, Here: s.Here, All: s.Left()}
		}
		took = b.takeGiven(&mine)
	}
	if mine.rights(&b.boundHead) < need { // from more incarnations than a row names
		s := b.shown(t.r.origin)
		return s, &RightsError{Want: need, Here: max(0, mine.rights(&b.boundHead)), All: s.Left()}
	}
	mine.spent += need
	return t.putRow(c, &b, mine, took), nil
}

// takeGiven books what was given to a row's owner, and reports whether there was any. It takes from as many as a row may name.
func (b *bound) takeGiven(mine *boundRow) (took bool) {
	mine.got = slices.Clone(mine.got)
	for i := range b.rows {
		x := &b.rows[i]
		given, had := rightsIn(x.given, mine.owner).rights, rightsIn(mine.got, x.owner)
		if given <= had.rights || had.peer != x.owner && len(mine.got) >= boundedPeersMax {
			continue
		}
		transferIn(&mine.got, x.owner).rights = given
		took = true
	}
	return took
}

// putRow writes this incarnation's row, and gives what the counter shows then. It goes after the head, and where it took rights after
// the rows that gave them.
func (t *Tx) putRow(c *cell, b *bound, mine boundRow, took bool) Bounded {
	i, had := b.find(mine.owner)
	if had {
		b.rows[i] = mine
	} else {
		b.rows = slices.Insert(b.rows, i, mine)
	}
	own := func(s *sibling) bool {
		w, ok := decodeBoundRow(s.val)
		return ok && s.tag == TagRow && w.owner == mine.owner && w.gen == mine.gen
	}
	var after []tip
	if !had || took {
		for i := range c.sibs {
			if s := &c.sibs[i]; s.tip == b.head || took && s.tag == TagRow && !own(s) {
				after = append(after, s.tip)
			}
		}
	}
	t.write(c, TagRow, mine.encode(), own, after...)
	return b.shown(mine.owner)
}

// BoundedGive passes on up to rights of what this incarnation holds to another one, for good, and gives how many these were. Errors:
// ErrNoBounded, ErrWrongType, ErrTooLarge.
func (t *Tx) BoundedGive(key string, to Origin, rights int64) (given int64, err error) {
	c, b, err := t.bounded(key)
	if err != nil || to == t.r.origin || rights <= 0 {
		return 0, err
	}
	mine := b.row(t.r.origin)
	took := b.takeGiven(&mine)
	given = b.give(&mine, to, rights)
	if given > 0 {
		t.putRow(c, &b, mine, took)
	}
	return given, nil
}

// BoundedLeave passes on all that this incarnation holds, to the first of some others that can take it, and takes back what it asks for. It
// gives how many rights these were. Errors as of BoundedGive.
func (t *Tx) BoundedLeave(key string, to []Origin) (given int64, err error) {
	c, b, err := t.bounded(key)
	if err != nil {
		return 0, err
	}
	mine := b.row(t.r.origin)
	took := b.takeGiven(&mine)
	for _, o := range to {
		if o != t.r.origin {
			given += b.give(&mine, o, MaxBounded)
		}
	}
	asks := mine.want.request > 0 && mine.want.peer != t.r.origin
	if asks { // nobody answers what is asked of oneself
		mine.want = boundTransfer{peer: t.r.origin, request: mine.want.request + 1}
	}
	if given > 0 || asks {
		t.putRow(c, &b, mine, took)
	}
	return given, nil
}

// give notes a transfer in a row, of up to rights.
func (b *bound) give(mine *boundRow, to Origin, rights int64) int64 {
	have := rightsIn(mine.given, to)
	rights = min(rights, mine.rights(&b.boundHead), MaxBounded-have.rights)
	if rights <= 0 || have.peer != to && len(mine.given) >= boundedPeersMax {
		return 0
	}
	mine.given = slices.Clone(mine.given)
	transferIn(&mine.given, to).rights += rights
	return rights
}

// BoundedAsk asks one incarnation for rights: the request travels in the row, and BoundedAnswer answers it there. A later request takes
// the place of an earlier one. Errors as of BoundedGive.
func (t *Tx) BoundedAsk(key string, from Origin, rights int64) error {
	c, b, err := t.bounded(key)
	if err != nil || from == t.r.origin || rights <= 0 {
		return err
	}
	mine := b.row(t.r.origin)
	mine.want = boundTransfer{peer: from, rights: min(rights, MaxBounded), request: mine.want.request + 1}
	t.putRow(c, &b, mine, false)
	return nil
}

// BoundedAnswer takes the rights that others gave this incarnation, and answers their requests: each gets what it asked for, up to half of
// what is here. It gives what it passed on. Errors as of BoundedGive.
func (t *Tx) BoundedAnswer(key string) (given int64, err error) {
	c, b, err := t.bounded(key)
	if err != nil {
		return 0, err
	}
	mine := b.row(t.r.origin)
	took := b.takeGiven(&mine)
	for i := range b.rows {
		x := &b.rows[i]
		if x.want.peer != mine.owner || x.owner == mine.owner || x.want.request <= rightsIn(mine.given, x.owner).request {
			continue
		}
		n := b.give(&mine, x.owner, min(x.want.rights, (mine.rights(&b.boundHead)+1)/2))
		if n > 0 {
			transferIn(&mine.given, x.owner).request = x.want.request
			given += n
		}
	}
	if took || given > 0 {
		t.putRow(c, &b, mine, took)
	}
	return given, nil
}

// Bounded reads a bounded counter; ok is false where there is none. Error: ErrWrongType.
func (v *View) Bounded(key string) (shown Bounded, ok bool, err error) {
	e, err := v.of(key, KindBounded)
	if !e.ok() {
		return Bounded{}, false, err
	}
	b, ok := v.r.boundIn(e.cell(CellBound, ""))
	if !ok {
		return Bounded{}, false, nil
	}
	return v.r.shownHere(&b), true, nil
}

// BoundedRights lists who holds rights of a bounded counter, in the order of their origins. Error: ErrWrongType.
func (v *View) BoundedRights(key string) (all []BoundedRights, err error) {
	e, err := v.of(key, KindBounded)
	if !e.ok() {
		return nil, err
	}
	b, _ := v.r.boundIn(e.cell(CellBound, ""))
	owners := []Origin{b.gen.Origin}
	for i := range b.rows {
		owners = append(owners, b.rows[i].owner)
		for _, t := range b.rows[i].given {
			owners = append(owners, t.peer)
		}
	}
	slices.SortFunc(owners, Origin.Compare)
	for _, o := range slices.Compact(owners) {
		w := b.row(o)
		if n := b.held(&w); n > 0 {
			all = append(all, BoundedRights{o, n})
		}
	}
	return all, nil
}

// Bounds is how many bounded counters show.
func (r *Region) Bounds() int { return r.aside().bounds }

// boundedAskedMax is how many keys TakeAsked gives at once at most. Whoever asks for rights of a further one asks again.
const boundedAskedMax = 4096

// TakeAsked lists the keys of bounded counters of which others want rights from this incarnation, or have given it some: give each to
// BoundedAnswer.
func (r *Region) TakeAsked() []string {
	if len(r.aside().asked) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(r.seldom.asked))
	r.seldom.asked = nil
	return keys
}

// HasAsked reports whether TakeAsked has any.
func (r *Region) HasAsked() bool { return len(r.aside().asked) > 0 }

// noteRow looks at a row that came to be here.
func (r *Region) noteRow(c *cell, s *sibling) {
	if c.kind != CellBound || r.hasSelf && s.org == r.self || len(r.aside().asked) >= boundedAskedMax {
		return
	}
	w, ok := decodeBoundRow(s.val)
	if !ok || w.want.peer != r.origin && rightsIn(w.given, r.origin).rights == 0 {
		return
	}
	x := r.setAside()
	if x.asked == nil {
		x.asked = map[string]bool{}
	}
	x.asked[string(c.key)] = true
}

// noteBound counts a counter that came or went. What is left of ours when it went, because it was written concurrently, goes too.
func (r *Region) noteBound(c *cell, was, is bool) {
	switch {
	case is && !was:
		r.setAside().bounds++
	case was && !is:
		r.setAside().bounds--
		if r.rowIn(c) {
			r.setAside().settle = append(r.aside().settle, c.at)
		}
	}
}

// rowIn reports whether the cell has a row that this incarnation wrote.
func (r *Region) rowIn(c *cell) bool {
	return r.hasSelf && slices.ContainsFunc(c.sibs, func(s sibling) bool { return s.tag == TagRow && s.org == r.self })
}

// BoundedHeld lists the bounded counters of which this incarnation holds rights, as far as it has written to them, and how many.
func (r *Region) BoundedHeld(fn func(key string, rights int64)) {
	if r.aside().bounds == 0 || !r.hasSelf {
		return
	}
	held := map[string]int64{}
	r.origins[r.self].index.each(&r.store, 1, func(_ Seq, ref uint64) bool {
		if p := unpack(r.store.mem.Bytes(ref)); p.kind == CellBound {
			var c cell
			r.store.load(&c, ref)
			if b, ok := r.boundIn(&c); ok {
				held[string(c.key)] = r.shownHere(&b).Here
			}
		}
		return true
	})
	for _, key := range slices.Sorted(maps.Keys(held)) {
		if held[key] > 0 {
			fn(key, held[key])
		}
	}
}

// inherit is MutantHeirs.
func (b *bound) inherit(self Origin) {
	owners := []Origin{b.gen.Origin}
	for i := range b.rows {
		owners = append(owners, b.rows[i].owner)
	}
	for _, o := range owners {
		if w := b.row(o); o != self && !o.IsLine() && o.sameLine(self) && w.rights(&b.boundHead) > 0 {
			left := w.rights(&b.boundHead)
			w.given = slices.Clone(w.given)
			transferIn(&w.given, self).rights += left
			b.take(w)
		}
	}
}
