package crdt

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// A sketch tells how two large sets differ, in bytes that depend on the difference alone: a rateless invertible Bloom
// lookup table (Yang, Gilad, Alizadeh, "Practical Rateless Set Reconciliation", SIGCOMM 2024). One side sends coded
// symbols of its set, as many as it takes; the other subtracts its own, which leaves the coded symbols of the
// difference, and peels: a symbol that holds one item tells it, and taking it out of its other symbols frees the next.
//
//	cost, a million items:  12 MB while the sketch lives; 55 ms for the first 64 symbols, 40 ms more for 4,096
//	cost on the wire:       10 bytes a symbol, 13 to 17 in the wide form; 1.4 symbols a difference, more where there are few
//
// Items are hashes that the caller makes, keyed so that two of them collide in no two pulls alike. Both sides choose
// the same indices for an item, so nothing here may round differently on another machine.
//
// Of the two forms on the wire, the narrow one has items of 48 bits, checks of 24 and counts of 8. So short a hash may be that
// of two items of a large set, which unique tells; and a count is known to 256, of which the one is meant that is nearest to what the
// sizes of the sets let expect: it is right up to some thousand differences, and beyond a bitmap is shorter.

const (
	// sketchMax bounds the symbols of one sketch: about 12,000 differences. Beyond, a bitmap is smaller.
	sketchMax = 1 << 14
	// sketchBatchMax bounds the symbols of one message, 64 KiB or so. A decoder refuses more.
	sketchBatchMax = 1 << 12
	// symbolBytes is what a symbol takes on the wire at least, and a narrow one exactly.
	symbolBytes       = 8 + 4 + 1
	narrowSymbolBytes = narrowItemBytes + 3 + 1
	// narrowItemBytes is what an item has in the narrow form.
	narrowItemBytes = 6
	narrowItemBits  = 8 * narrowItemBytes
)

// symbol is a coded symbol: what its items are together. The check tells one item from several whose count adds up
// to one. Its 32 bits let one symbol in 2^32 pass that should not; peeling looks at about three for every difference, and
// a wrong item leaves symbols behind that are not zero, so that the caller hears of failure and not of wrong items.
type symbol struct {
	xor   uint64
	check uint32
	count int32
}

// take removes an item once, or puts it back where sign is -1.
func (s *symbol) take(item uint64, check uint32, sign int32) {
	s.xor ^= item
	s.check ^= check
	s.count -= sign
}

func (s *symbol) zero() bool { return *s == symbol{} }

// salt makes the sketches of one pull differ from those of another: what one cannot tell apart the next one can.
type salt uint64

func (s salt) check(item uint64) uint32 { return uint32(mix(item, uint64(s)^k2) >> 32) }

// walk is how far an item has got: the index that it maps to next, below 1<<16, and how many draws that took, above.
type walk uint32

func (w walk) split() (index, draws uint64) { return uint64(w & 0xffff), uint64(w >> 16) }

func walkAt(index, draws uint64) walk { return walk(draws)<<16 | walk(min(index, sketchMax)) }

// draw gives a random number of an item: (u^(-1/2) - 1) · 2^32 for u in (0, 1]. It depends on no other, so that many are
// under way at a time.
func (s salt) draw(item, n uint64) uint64 {
	r := int32(mix(item^uint64(s), n*k2)>>33 | 1) // u is r/2^31
	f := float32(math.Sqrt(float64(0x1p31/float32(r)))) - 1
	return uint64(int64(f * 0x1p32))
}

// after goes from an index to the first one behind i + (i+3/2)(u^(-1/2) - 1), which maps an item to each index k by
// itself with density(k), about 2/k (section 4.2 of the paper). It is in integers: what comes next waits for it.
func after(i, draw uint64) uint64 { return i + 1 + (2*i+3)*draw>>33 } // at most 2^15 · 2^48

// density is the probability that an item maps to index i.
func density(i int) float64 {
	if i == 0 {
		return 1
	}
	k := float64(i)
	return 2 * (k + 1) / ((k + 1.5) * (k + 1.5))
}

// sketch makes the coded symbols of one set, from index 0 on, as far as they were asked for.
type sketch struct {
	salt   salt
	narrow bool
	items  []uint64
	walks  []walk // of the items
	syms   []symbol
}

// newSketch takes over items. They must differ.
func newSketch(key uint64, items []uint64) *sketch {
	return &sketch{salt: salt(key), items: items, walks: make([]walk, len(items))}
}

// newNarrowSketch takes over items of narrowItemBits. Some may be equal.
func newNarrowSketch(key uint64, items []uint64) *sketch {
	s := newSketch(key, items)
	s.narrow = true
	return s
}

// check is an item's, as far as it goes over the wire.
func (s *sketch) check(item uint64) uint32 {
	c := s.salt.check(item)
	if s.narrow {
		c &^= 0xff
	}
	return c
}

// unique reports whether each of some hashes, which differ, is that of one item at most. It looks at all items.
func (s *sketch) unique(hashes []uint64) bool {
	left := make(map[uint64]bool, len(hashes))
	for _, h := range hashes {
		left[h] = true
	}
	for _, item := range s.items {
		if once, ok := left[item]; ok {
			if !once {
				return false
			}
			left[item] = false
		}
	}
	return true
}

// extend makes symbols up to, not including, index upto, at most sketchMax.
func (s *sketch) extend(upto int) {
	upto = min(upto, sketchMax)
	if upto <= len(s.syms) {
		return
	}
	s.syms = append(s.syms, make([]symbol, upto-len(s.syms))...)
	syms, end := s.syms, uint64(upto)
	for n, item := range s.items {
		i, draws := s.walks[n].split()
		if i >= end {
			continue
		}
		check := s.check(item)
		for ; i < end; draws++ {
			syms[i].take(item, check, -1)
			i = after(i, s.salt.draw(item, draws))
		}
		s.walks[n] = walkAt(i, draws)
	}
}

// appendSymbols encodes symbols of one set, at most sketchBatchMax of them.
func appendSymbols(b []byte, syms []symbol) []byte {
	b = binary.AppendUvarint(b, uint64(len(syms)))
	for i := range syms {
		b = binary.BigEndian.AppendUint64(b, syms[i].xor)
		b = binary.BigEndian.AppendUint32(b, syms[i].check)
		b = binary.AppendUvarint(b, uint64(syms[i].count))
	}
	return b
}

// appendNarrowSymbols is appendSymbols in the narrow form.
func appendNarrowSymbols(b []byte, syms []symbol) []byte {
	b = binary.AppendUvarint(b, uint64(len(syms)))
	for i := range syms {
		s := &syms[i]
		b = append(appendItem(b, s.xor), byte(s.check>>24), byte(s.check>>16), byte(s.check>>8), byte(s.count))
	}
	return b
}

// appendItem encodes a narrow item.
func appendItem(b []byte, item uint64) []byte {
	return append(b, byte(item>>40), byte(item>>32), byte(item>>24), byte(item>>16), byte(item>>8), byte(item))
}

func (d *decoder) item() (item uint64) {
	for _, c := range d.take(narrowItemBytes) {
		item = item<<8 | uint64(c)
	}
	return item
}

func (d *decoder) narrowSymbols() []symbol {
	n := d.count(narrowSymbolBytes)
	if n > sketchBatchMax {
		d.fail("%d coded symbols, limit %d", n, sketchBatchMax)
		return nil
	}
	out := make([]symbol, 0, n)
	for range n {
		x, b := d.item(), d.take(4)
		if d.err != nil {
			return nil
		}
		out = append(out, symbol{x, binary.BigEndian.Uint32(b) &^ 0xff, int32(b[3])})
	}
	return out
}

func (d *decoder) symbols() []symbol {
	n := d.count(symbolBytes)
	if n > sketchBatchMax {
		d.fail("%d coded symbols, limit %d", n, sketchBatchMax)
		return nil
	}
	out := make([]symbol, 0, n)
	for range n {
		x, check, count := d.u64(), d.take(4), d.uvarint()
		if count > math.MaxInt32 {
			d.fail("a coded symbol of %d items", count)
		}
		if d.err != nil {
			return nil
		}
		out = append(out, symbol{x, binary.BigEndian.Uint32(check), int32(count)})
	}
	return out
}

// peeler finds the difference between a set and another of which it hears symbols.
type peeler struct {
	mine     *sketch
	left     []symbol // ours less theirs, less what was found
	spent    []bool   // symbols that gave an item. A right one is zero from then on, so each gives one at most
	found    []found
	suspects []uint32 // symbols that may hold one item
	only     int      // items of ours less items of theirs
	spread   float64  // what estimate goes by
}

// found is an item that one side alone has: ours where sign is 1, theirs where it is -1.
type found struct {
	item uint64
	walk walk
	sign int32
}

// newPeeler compares with the set of mine.
func newPeeler(mine *sketch) *peeler { return &peeler{mine: mine} }

// newNarrowPeeler compares the set of mine, in the narrow form, with one of theirs items.
func newNarrowPeeler(mine *sketch, theirs int) *peeler {
	return &peeler{mine: mine, only: len(mine.items) - theirs}
}

// counted gives the count of a symbol of the difference, of which a narrow one tells the last 8 bits.
func (p *peeler) counted(i int, count int32) int32 {
	if !p.mine.narrow {
		return count
	}
	want := int32(math.Round(float64(p.only) * density(i)))
	return want + int32(int8(count-want))
}

// add goes on with the symbols of the other set that follow those added before. It takes time in proportion to
// them and to the difference, whatever they hold. Errors: ErrMalformed for more than sketchMax.
func (p *peeler) add(theirs []symbol) error {
	from := len(p.left)
	upto := from + len(theirs)
	if upto > sketchMax {
		return fmt.Errorf("%w: %d coded symbols of one set, limit %d", ErrMalformed, upto, sketchMax)
	}
	p.mine.extend(upto)
	for i, t := range theirs {
		s := p.mine.syms[from+i]
		s.take(t.xor, t.check, t.count)
		s.count = p.counted(from+i, s.count)
		p.left = append(p.left, s)
		p.measure(from+i, int(s.count))
		p.suspects = append(p.suspects, uint32(from+i))
	}
	p.spent = append(p.spent, make([]bool, len(theirs))...)
	for i := range p.found {
		p.remove(&p.found[i])
	}
	p.peel()
	return nil
}

func (p *peeler) peel() {
	for n := len(p.suspects); n > 0; n = len(p.suspects) {
		i := p.suspects[n-1]
		p.suspects = p.suspects[:n-1]
		if s := p.left[i]; !p.spent[i] && s.single(p.mine) {
			p.spent[i] = true
			p.found = append(p.found, found{s.xor, 0, s.count})
			p.remove(&p.found[len(p.found)-1])
		}
	}
}

// single reports whether the symbol holds one item.
func (s *symbol) single(key *sketch) bool {
	return (s.count == 1 || s.count == -1) && s.check == key.check(s.xor)
}

// remove takes an item out of the symbols that it has not been taken out of.
func (p *peeler) remove(f *found) {
	key, end := p.mine.salt, uint64(len(p.left))
	check := p.mine.check(f.item)
	i, draws := f.walk.split()
	for ; i < end; draws++ {
		p.left[i].take(f.item, check, f.sign)
		p.suspects = append(p.suspects, uint32(i))
		i = after(i, key.draw(f.item, draws))
	}
	f.walk = walkAt(i, draws)
}

// done reports whether the whole difference was found.
func (p *peeler) done() bool {
	for i := range p.left {
		if !p.left[i].zero() {
			return false
		}
	}
	return len(p.left) > 0
}

// difference gives the items that only we have and those that only they have, in order. Ask once done. It is false where one is
// there twice, which right symbols never lead to.
func (p *peeler) difference() (mine, theirs []uint64, ok bool) {
	for _, f := range p.found {
		if f.sign > 0 {
			mine = append(mine, f.item)
		} else {
			theirs = append(theirs, f.item)
		}
	}
	slices.Sort(mine)
	slices.Sort(theirs)
	all := slices.Concat(mine, theirs)
	slices.Sort(all)
	return mine, theirs, len(slices.Compact(all)) == len(p.found)
}

// measure notes the count of a symbol of the difference. Where a items are ours alone and b theirs, it has the mean (a-b)p and the
// variance (a+b)p(1-p), and symbol 0 has a-b.
func (p *peeler) measure(i, count int) {
	if i == 0 {
		p.only = count
		return
	}
	q := density(i)
	off := float64(count) - float64(p.only)*q
	p.spread += off * off / (q * (1 - q))
}

// estimate tells about how many items differ, from the counts alone. With 64 symbols it is 0.56 to 1.5 times the truth in
// 98 of 100 cases, and never less than the sizes of the sets differ by.
func (p *peeler) estimate() int {
	n := max(p.only, -p.only)
	if len(p.left) > 1 {
		n = max(n, int(min(p.spread/float64(len(p.left)-1), 1<<40)))
	}
	return n
}

// symbolsFor is how many symbols tell n differing items in 99 of 100 cases.
func symbolsFor(n int) int {
	x := float64(n)
	return 8 + int(min(1.36*x+4*math.Sqrt(x), 1<<40))
}

// more is how many further symbols to ask for, so that they suffice in most cases although estimate errs. Where that is beyond what
// the caller would have, a bitmap is shorter.
func (p *peeler) more() int {
	n := p.estimate()
	return p.moreFor(n + n/4)
}

// moreFor is more, where n items are thought to differ.
func (p *peeler) moreFor(n int) int { return max(symbolsFor(n)-len(p.left), len(p.left)/4, 16) }
