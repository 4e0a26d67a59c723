package crdt

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unsafe"
)

// An order is the sequence of the cells of one entry: a sorted set's by score and member, a list's by position, a stream's by id, and
// another of it by arrival. It is derived,
// neither durable nor on the wire: the cells are in a table by hash. It is made when somebody first asks for it and follows each
// change from then on, until nobody has asked for long, or memory is short.
//
//	order ──► groups ──► leaves ──► [ key 8 bytes, record 5 bytes ] …     a counted B+ tree of three levels
//
// Leaves are allocations of Memory and have up to orderLeaf places, groups up to orderGroups leaves. What a group holds is
// counted, so that a rank is found by adding up groups, and then leaves of one: 200 numbers and 48 at a million cells.
//
//	cost: 14 to 20 bytes a cell. A change is O(log n) comparisons and moves half a leaf, 0.8 KB, besides every 60th, which splits one.
//	      To make it for n cells is a sort, and so is not done more often than for every 4n changes.
type order struct {
	kind      CellKind
	byArrival bool
	groups    []orderGroup
	n         int
	spare     int    // changes since somebody asked
	asked     uint32 // 1: somebody has asked since the last change; see Config.Mark
	entryOf   uint64 // the head
}

type orderGroup struct {
	leaves []orderLeafRef
	n      int
}

type orderLeafRef struct {
	ref uint64
	n   int
}

// orderItem is one place: the first of what is compared, as a number, and the record that holds the rest.
type orderItem struct {
	key uint64
	ref uint64
}

const (
	orderWidth  = 8 + refBytes
	orderLeaf   = 120
	orderGroups = 64 // leaves in a group
	// orderMin is from how many cells on an order is kept: fewer are sorted as fast as they are read.
	orderMin = 48
	// orderMinList is the same of a list that is written to: each push asks for its end.
	orderMinList = 8
	// ordersMax bounds the orders of a region. Where there are more, all are made anew as they are asked for.
	ordersMax = 1 << 13
	// orderSpare: so many changes per cell, and as many again, that nobody asked for are the cost of making it anew.
	orderSpare = 4
	// orderFirst is what the first leaf has room for.
	orderFirst = 16
)

func itemAt(b []byte, i int) orderItem {
	b = b[i*orderWidth:]
	return orderItem{binary.LittleEndian.Uint64(b), getRef(b[8:])}
}

func putItem(b []byte, i int, x orderItem) {
	b = b[i*orderWidth:]
	binary.LittleEndian.PutUint64(b, x.key)
	putRef(b[8:], x.ref)
}

// mark is what an order compares a place with: all before it are less. Beyond: those alike are less, too.
type mark struct {
	key    uint64
	sub    []byte
	bySub  bool // by the name alone, where all keys are alike
	beyond bool
}

// below reports whether an item is before the mark.
func (s *store) below(x orderItem, m *mark) bool {
	if !m.bySub && x.key != m.key {
		return x.key < m.key
	}
	n := bytes.Compare(s.subOf(x.ref), m.sub)
	return n < 0 || n == 0 && m.beyond
}

// subOf is the name in a record, solo or part.
func (s *store) subOf(ref uint64) []byte {
	p := unpack(s.mem.Bytes(ref))
	return p.sub
}

func (s *store) compareItems(a, b orderItem) int {
	switch {
	case a.key < b.key:
		return -1
	case a.key > b.key:
		return 1
	}
	return bytes.Compare(s.subOf(a.ref), s.subOf(b.ref))
}

func (o *order) leaf(s *store, g, l int) []byte { return s.mem.Bytes(o.groups[g].leaves[l].ref) }

// seek gives the place of the first item that is not below the mark: its group, leaf and index, which may be one beyond the leaf's last.
func (o *order) seek(s *store, m *mark) (g, l, i int) {
	if len(o.groups) == 0 {
		return 0, 0, 0
	}
	lastOf := func(g, l int) orderItem { return itemAt(o.leaf(s, g, l), o.groups[g].leaves[l].n-1) }
	if !s.below(itemAt(o.leaf(s, 0, 0), 0), m) { // lists and queues are written to at their ends
		return 0, 0, 0
	}
	g, l = len(o.groups)-1, len(o.groups[len(o.groups)-1].leaves)-1
	if !s.below(lastOf(g, l), m) {
		g = bisect(len(o.groups)-1, func(g int) bool { return s.below(lastOf(g, len(o.groups[g].leaves)-1), m) })
		l = bisect(len(o.groups[g].leaves)-1, func(l int) bool { return s.below(lastOf(g, l), m) })
	}
	b, n := o.leaf(s, g, l), o.groups[g].leaves[l].n
	if s.below(itemAt(b, n-1), m) {
		return g, l, n
	}
	return g, l, bisect(n-1, func(i int) bool { return s.below(itemAt(b, i), m) })
}

// bisect gives the first of 0 … n that less does not accept; n is not asked for.
func bisect(n int, less func(i int) bool) int {
	lo, hi := 0, n
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); less(mid) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// rankOf counts the items before a place.
func (o *order) rankOf(g, l, i int) int {
	for k := range o.groups[:min(g, len(o.groups))] {
		i += o.groups[k].n
	}
	if g < len(o.groups) {
		for k := range o.groups[g].leaves[:l] {
			i += o.groups[g].leaves[k].n
		}
	}
	return i
}

// at finds the place of a rank below n.
func (o *order) at(rank int) (g, l, i int) {
	for rank >= o.groups[g].n {
		rank -= o.groups[g].n
		g++
	}
	for rank >= o.groups[g].leaves[l].n {
		rank -= o.groups[g].leaves[l].n
		l++
	}
	return g, l, rank
}

// last is the place of the last item; g is -1 where there is none.
func (o *order) last() (g, l, i int) {
	if g = len(o.groups) - 1; g >= 0 {
		l = len(o.groups[g].leaves) - 1
		i = o.groups[g].leaves[l].n - 1
	}
	return g, l, i
}

// insert adds an item.
func (o *order) insert(s *store, x orderItem) {
	if len(o.groups) == 0 {
		o.fill(s, []orderItem{x})
		return
	}
	g, l, i := o.seek(s, &mark{key: x.key, sub: s.subOf(x.ref)})
	if o.groups[g].leaves[l].n == orderLeaf {
		g, l, i = o.splitLeaf(s, g, l, i)
	}
	q := &o.groups[g].leaves[l]
	b := o.leaf(s, g, l)
	if (q.n+1)*orderWidth > len(b) {
		old := q.ref
		*q = o.newLeaf(s, b[:q.n*orderWidth], min(2*q.n, orderLeaf))
		s.free(forIndex, old)
		b = o.leaf(s, g, l)
	}
	copy(b[(i+1)*orderWidth:], b[i*orderWidth:q.n*orderWidth])
	putItem(b, i, x)
	q.n++
	o.groups[g].n++
	o.n++
}

// newLeaf makes a leaf with some items and room for as many as said.
func (o *order) newLeaf(s *store, items []byte, room int) orderLeafRef {
	ref, b := s.alloc(forIndex, room*orderWidth)
	copy(b, items)
	return orderLeafRef{ref, len(items) / orderWidth}
}

// splitLeaf makes room in a full leaf, and gives the place of an insertion anew. The last leaf stays full where it grows at its end.
func (o *order) splitLeaf(s *store, g, l, i int) (int, int, int) {
	q := &o.groups[g].leaves[l]
	at := q.n / 2
	if i == q.n && l == len(o.groups[g].leaves)-1 && g == len(o.groups)-1 {
		at = q.n
	}
	if i == 0 && l == 0 && g == 0 {
		at = 0
	}
	b := o.leaf(s, g, l)
	up := o.newLeaf(s, b[at*orderWidth:q.n*orderWidth], orderLeaf)
	q.n = at
	o.groups[g].leaves = slices.Insert(o.groups[g].leaves, l+1, up)
	if i > at || i == at && at > 0 {
		l, i = l+1, i-at
	}
	if len(o.groups[g].leaves) > orderGroups {
		g, l = o.splitGroup(g, l)
	}
	return g, l, i
}

func (o *order) splitGroup(g, l int) (int, int) {
	p := &o.groups[g]
	at := len(p.leaves) / 2
	if g == len(o.groups)-1 && l == len(p.leaves)-1 {
		at = len(p.leaves) - 1
	}
	up := orderGroup{leaves: slices.Clone(p.leaves[at:])}
	for _, q := range up.leaves {
		up.n += q.n
	}
	p.n -= up.n
	p.leaves = p.leaves[:at:at]
	o.groups = slices.Insert(o.groups, g+1, up)
	if l >= at {
		return g + 1, l - at
	}
	return g, l
}

// remove takes an item out that is there.
func (o *order) remove(s *store, x orderItem) {
	g, l, i := o.last()
	if g < 0 || itemAt(o.leaf(s, g, l), i) != x {
		g, l, i = o.seek(s, &mark{key: x.key, sub: s.subOf(x.ref)})
	}
	if g >= len(o.groups) || i >= o.groups[g].leaves[l].n || itemAt(o.leaf(s, g, l), i) != x {
		panic("crdt: a cell is not in its entry's order")
	}
	q := &o.groups[g].leaves[l]
	b := o.leaf(s, g, l)
	copy(b[i*orderWidth:], b[(i+1)*orderWidth:q.n*orderWidth])
	q.n--
	o.groups[g].n--
	o.n--
	if q.n == 0 {
		o.dropLeaf(s, g, l)
	} else if q.n <= orderLeaf/4 {
		o.joinLeaves(s, g, l)
	}
}

func (o *order) dropLeaf(s *store, g, l int) {
	p := &o.groups[g]
	s.free(forIndex, p.leaves[l].ref)
	if p.leaves = slices.Delete(p.leaves, l, l+1); len(p.leaves) == 0 {
		o.groups = slices.Delete(o.groups, g, g+1)
		return
	}
	if g+1 < len(o.groups) && len(p.leaves)+len(o.groups[g+1].leaves) <= orderGroups/2 {
		p.leaves = append(p.leaves, o.groups[g+1].leaves...)
		p.n += o.groups[g+1].n
		o.groups = slices.Delete(o.groups, g+1, g+2)
	}
}

// joinLeaves appends the leaf behind l to it, or l to the one before, where both have few items.
func (o *order) joinLeaves(s *store, g, l int) {
	p := &o.groups[g]
	for _, l := range []int{l, l - 1} {
		if l < 0 || l+1 >= len(p.leaves) || p.leaves[l].n+p.leaves[l+1].n > orderLeaf/2 {
			continue
		}
		q, up := &p.leaves[l], p.leaves[l+1]
		if b := s.mem.Bytes(q.ref); (q.n+up.n)*orderWidth > len(b) {
			old := q.ref
			*q = o.newLeaf(s, b[:q.n*orderWidth], orderLeaf)
			s.free(forIndex, old)
		}
		copy(s.mem.Bytes(q.ref)[q.n*orderWidth:], s.mem.Bytes(up.ref)[:up.n*orderWidth])
		q.n += up.n
		o.dropLeaf(s, g, l+1)
		return
	}
}

func (o *order) free(s *store) {
	for g := range o.groups {
		for _, q := range o.groups[g].leaves {
			s.free(forIndex, q.ref)
		}
	}
	o.groups, o.n = nil, 0
}

// fill makes an order of items that are sorted.
func (o *order) fill(s *store, items []orderItem) {
	var buf [orderLeaf * orderWidth]byte
	for len(items) > 0 {
		n := min(len(items), orderLeaf*7/8)
		for i, x := range items[:n] {
			putItem(buf[:], i, x)
		}
		q := o.newLeaf(s, buf[:n*orderWidth], max(orderFirst, n))
		if len(o.groups) == 0 || len(o.groups[len(o.groups)-1].leaves) == orderGroups*3/4 {
			o.groups = append(o.groups, orderGroup{})
		}
		p := &o.groups[len(o.groups)-1]
		p.leaves = append(p.leaves, q)
		p.n += n
		o.n += n
		items = items[n:]
	}
}

// ordered is an order as a View sees it: one that is kept, or the sorted items of one that is not.
type ordered struct {
	s     *store
	kept  *order
	items []orderItem
}

func (q *ordered) len() int {
	if q.kept != nil {
		return q.kept.n
	}
	return len(q.items)
}

// rank counts the cells below a mark.
func (q *ordered) rank(m *mark) int {
	if q.kept == nil {
		return bisect(len(q.items), func(i int) bool { return q.s.below(q.items[i], m) })
	}
	return q.kept.rankOf(q.kept.seek(q.s, m))
}

// each calls fn with the records from rank from on, in order, or backwards, until it returns false.
func (q *ordered) each(from int, back bool, fn func(ref uint64) bool) {
	if from < 0 || from >= q.len() {
		return
	}
	step := 1
	if back {
		step = -1
	}
	if q.kept == nil {
		for i := from; i >= 0 && i < len(q.items) && fn(q.items[i].ref); i += step {
		}
		return
	}
	o := q.kept
	g, l, i := o.at(from)
	for {
		leaf := o.groups[g].leaves[l]
		b := q.s.mem.Bytes(leaf.ref)
		for ; i >= 0 && i < leaf.n; i += step {
			if !fn(itemAt(b, i).ref) {
				return
			}
		}
		if l += step; l < 0 || l >= len(o.groups[g].leaves) {
			if g += step; g < 0 || g >= len(o.groups) {
				return
			}
			if l = 0; back {
				l = len(o.groups[g].leaves) - 1
			}
		}
		if i = 0; back {
			i = o.groups[g].leaves[l].n - 1
		}
	}
}

// orderOf gives an entry's cells of a kind in order. One that is worth keeping is kept where nothing else reads, and else told
// to Region.KeepOrders.
func (v *View) orderOf(e entry, kind CellKind) ordered {
	r := v.r
	if o := r.orders[e.ref]; o != nil && o.kind == kind {
		r.mark(&o.asked)
		return ordered{s: &r.store, kept: o}
	}
	if n := e.size(); e.many() && (n >= orderMin || (kind == CellItem || kind == CellEntry) && v.writes && n >= orderMinList) { // ghosts are walked over, too
		if v.writes {
			return ordered{s: &r.store, kept: r.keepOrder(e, kind, false)}
		}
		v.want(headRef{e.hash, e.ref, false})
	}
	return ordered{s: &r.store, items: r.sorted(e, kind, false)}
}

// want notes an order that is worth keeping.
func (v *View) want(w headRef) {
	if len(v.wanted) < wantedOrders && !slices.Contains(v.wanted, w) {
		v.wanted = append(v.wanted, w)
	}
}

func (r *Region) mark(p *uint32) {
	if r.cfg.Mark == nil {
		*p = 1
		return
	}
	r.cfg.Mark(p)
}

// sorted lists an entry's cells of a kind that show something, in order.
func (r *Region) sorted(e entry, kind CellKind, byArrival bool) []orderItem {
	items := make([]orderItem, 0, e.count(kind))
	e.records(0, func(ref uint64) bool {
		if p := unpack(r.store.mem.Bytes(ref)); p.kind == kind && p.present() {
			items = append(items, orderItem{r.orderKey(kind, byArrival, &p), ref})
		}
		return true
	})
	slices.SortFunc(items, r.store.compareItems)
	return items
}

// orderKey is what a record's cell is ordered by first.
func (r *Region) orderKey(kind CellKind, byArrival bool, p *packed) uint64 {
	switch {
	case byArrival:
		return p.arrival
	case kind == CellEntry:
		return entryMS(p.sub)
	case kind == CellScore:
		return scoreKey(r.scoreOf(p))
	}
	return 0
}

func (r *Region) keepOrder(e entry, kind CellKind, byArrival bool) *order {
	if len(r.orders)+len(r.aside().arrivals) >= ordersMax {
		r.DropOrders()
	}
	in := r.ordersBy(byArrival)
	in.drop(&r.store, e.ref)
	o := &order{kind: kind, byArrival: byArrival, entryOf: e.ref}
	o.fill(&r.store, r.sorted(e, kind, byArrival))
	in[e.ref] = o
	return o
}

// orderMap is orders of entries, by their heads.
type orderMap map[uint64]*order

// ordersBy are the orders of one sort.
func (r *Region) ordersBy(byArrival bool) orderMap {
	in := &r.orders
	if byArrival {
		in = &r.setAside().arrivals
	}
	if *in == nil {
		*in = orderMap{}
	}
	return *in
}

func (m orderMap) drop(s *store, head uint64) {
	if o := m[head]; o != nil {
		o.free(s)
		delete(m, head)
	}
}

// WantsOrders reports whether this View has made an order that is worth keeping: give it to Region.KeepOrders.
func (v *View) WantsOrders() bool { return len(v.wanted) > 0 }

// KeepOrders makes the orders that a View wants, so that the next need not sort. It writes: nothing else may read. Others
// may have written since.
func (r *Region) KeepOrders(v *View) {
	for _, w := range v.wanted {
		if r.ordersBy(w.byArrival)[w.ref] != nil {
			continue
		}
		if e := r.headAt(w); e.ok() {
			kind := orderedCell(e.kind())
			if kind != 0 && e.size() >= orderMin && (!w.byArrival || kind == CellEntry) {
				r.keepOrder(e, kind, w.byArrival)
			}
		}
	}
	v.wanted = v.wanted[:0]
}

// headRef is an entry's head, its hash, and which of its orders is meant.
type headRef struct {
	hash, ref uint64
	byArrival bool
}

// wantedOrders bounds the orders that one View asks for.
const wantedOrders = 16

// headAt finds the entry that has a head still: the number may be of something else by now.
func (r *Region) headAt(w headRef) (found entry) {
	r.store.entries.alike(w.hash, func(at uint64) bool {
		if e := r.store.entryAt(at); at == w.ref && e.many() {
			found = e
		}
		return !found.ok()
	})
	return found
}

// orderedCell is the kind of an entry's cells that have an order, or 0.
func orderedCell(k Kind) CellKind {
	switch k {
	case KindSorted:
		return CellScore
	case KindList:
		return CellItem
	case KindStream:
		return CellEntry
	case KindJSON:
		return CellNode
	}
	return 0
}

// takeFromOrder readies an order for a change of c, whose record is still as it was.
func (r *Region) takeFromOrder(o *order, c *cell, was bool) {
	if was && c.ref != 0 {
		p := unpack(r.store.mem.Bytes(c.ref))
		o.remove(&r.store, orderItem{r.orderKey(o.kind, o.byArrival, &p), c.ref})
	}
}

// putInOrder ends a change.
func (r *Region) putInOrder(o *order, c *cell) {
	in := r.ordersBy(o.byArrival)
	if in[o.entryOf] != o {
		return
	}
	if c.ref != 0 && c.present() {
		p := unpack(r.store.mem.Bytes(c.ref))
		o.insert(&r.store, orderItem{r.orderKey(o.kind, o.byArrival, &p), c.ref})
	}
	if o.spare++; o.asked != 0 {
		o.asked, o.spare = 0, 0
	}
	if o.spare > orderSpare*o.n+1024 {
		in.drop(&r.store, o.entryOf)
	}
}

// dropOrder drops the orders of an entry.
func (r *Region) dropOrder(head uint64) {
	r.orders.drop(&r.store, head)
	r.aside().arrivals.drop(&r.store, head)
}

// DropOrders gives back the memory of all orders. Whoever asks for one makes it again.
func (r *Region) DropOrders() {
	for _, in := range []orderMap{r.orders, r.aside().arrivals} {
		for head := range in {
			in.drop(&r.store, head)
		}
	}
}

// orderBytes is what orders take beside Memory.
func (r *Region) orderBytes() int64 { return r.orders.bytes() + r.aside().arrivals.bytes() }

func (m orderMap) bytes() (n int64) {
	for _, o := range m {
		n += int64(unsafe.Sizeof(*o)) + 48
		for g := range o.groups {
			n += int64(unsafe.Sizeof(orderGroup{})) + int64(cap(o.groups[g].leaves))*int64(unsafe.Sizeof(orderLeafRef{}))
		}
	}
	return n
}

// orders compares each order with the cells.
func (a *audit) orders() {
	a.ordersIn(a.r.orders)
	a.ordersIn(a.r.aside().arrivals)
}

func (a *audit) ordersIn(in orderMap) {
	r := a.r
	for head, o := range in {
		e := r.store.entryAt(head)
		a.want(e.many(), "an order of an entry that is not there")
		if a.err != nil {
			return
		}
		want := r.sorted(e, o.kind, o.byArrival)
		var have []orderItem
		for g := range o.groups {
			n := 0
			for _, q := range o.groups[g].leaves {
				b := r.store.mem.Bytes(q.ref)
				a.use[forIndex] += int64(len(b))
				a.want(q.n > 0, "an empty leaf in the order of %q", e.key())
				for i := range q.n {
					have = append(have, itemAt(b, i))
				}
				n += q.n
			}
			a.want(n == o.groups[g].n, "a group in the order of %q has %d and counts %d", e.key(), n, o.groups[g].n)
		}
		a.want(o.n == len(have), "the order of %q has %d cells and counts %d", e.key(), len(have), o.n)
		a.want(slices.Equal(have, want), "the order of %q is not that of its cells", e.key())
	}
}
