package crdt

import "math/bits"

// lateDots wait to be filed.
type lateDots struct {
	dots, room []lateDot // room is what sorting needs
}

type lateDot struct {
	seq Seq
	ref uint64
}

const (
	lateMax  = 1 << 17 // dots that wait: 4 MiB with what sorting them takes
	lateNear = 64      // of the last ones, among which a record that is moved while it is loaded is looked for
	lateBits = 11      // of a number, by which they are sorted in one pass
)

// addLate is add for one of many that come in no order.
func (x *dotIndex) addLate(s *store, seq Seq, ref uint64) {
	if x.late == nil {
		x.late = new(lateDots)
	}
	if x.late.dots = append(x.late.dots, lateDot{seq, ref}); len(x.late.dots) == lateMax {
		x.file(s)
	}
}

// settle files what waits. Whoever asks the index for anything does so first.
func (x *dotIndex) settle(s *store) {
	if x.late != nil {
		x.file(s)
		x.late = nil
	}
}

func (x *dotIndex) file(s *store) {
	late := x.late
	x.late = nil
	late.sort()
	for _, d := range late.dots {
		x.add(s, d.seq, d.ref)
	}
	late.dots = late.dots[:0]
	x.late = late
}

// move has one of the last dots under another record. It reports whether it was there.
func (l *lateDots) move(d lateDot, to uint64) bool {
	if l == nil {
		return false
	}
	for i := len(l.dots) - 1; i >= max(0, len(l.dots)-lateNear); i-- {
		if l.dots[i] == d {
			l.dots[i].ref = to
			return true
		}
	}
	return false
}

// sort sorts by number, least significant bits first, those of one number in the order in which they came.
func (l *lateDots) sort() {
	var all Seq
	for _, d := range l.dots {
		all |= d.seq
	}
	if len(l.room) < len(l.dots) {
		l.room = make([]lateDot, len(l.dots))
	}
	from, to := l.dots, l.room[:len(l.dots)]
	for shift := 0; shift < bits.Len64(uint64(all)); shift += lateBits {
		var starts [1<<lateBits + 1]int
		for _, d := range from {
			starts[d.seq>>shift&(1<<lateBits-1)+1]++
		}
		for i := range 1 << lateBits {
			starts[i+1] += starts[i]
		}
		for _, d := range from {
			at := &starts[d.seq>>shift&(1<<lateBits-1)]
			to[*at] = d
			*at++
		}
		from, to = to, from
	}
	l.dots, l.room = from, to[:cap(to)]
}
