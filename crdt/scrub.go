package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Two replicas that have seen the same hold the same: their digests say so. Where they do not agree, a bit has flipped, a
// disk has lied, or one dot names two writes (a machine was put back to a snapshot and went on under its old
// origin). A scrub finds the siblings that differ, as a reconciliation does but by hashes of content, and each side
// writes again what the other lacks, under its own origin: that spreads as any write does, both values of a fork
// live on side by side, and nothing is lost.
//
//	asker                                   answerer
//	  │◀── offer: context, digest, symbols ────┤
//	  ├─── more ──▶  ◀── symbols ──────────────┤
//	  ├─── the hashes that only you have ─────▶│ writes those again
//	  writes again what only it has

const (
	msgScrub        = 0x90
	msgScrubSymbols = 0x91

	scrubMore = 1 // the asker wants symbols up to a number
	scrubEnd  = 2 // the asker knows the difference; it lists what only the answerer has
)

// ErrTooDifferent says that two replicas which have seen the same differ in more than a scrub can mend: wipe the one
// that is wrong, and let it pull.
var ErrTooDifferent = errors.New("crdt: replicas differ too much to be mended")

// Scrub is the answering side of one comparison.
type Scrub struct {
	r       *Region
	sketch  *sketch
	sent    int
	ready   []byte
	waiting bool
	report  ScrubReport
}

// ScrubReport says what a comparison found.
type ScrubReport struct {
	Differ bool `json:"differ"` // both have seen the same, and hold something else
	Mended int  `json:"mended"` // siblings written again here
	Left   int  `json:"left"`   // contributions to counters, which nobody may write again but their origin
}

// NewScrub prepares to be compared.
func (r *Region) NewScrub() *Scrub {
	r.offers++
	salt := mix(r.ReadableDigest(), originHash(r.origin)+r.offers)
	s := &Scrub{r: r, sketch: newSketch(salt, r.contentItems(salt))}
	var t originTable
	body := binary.BigEndian.AppendUint64(nil, r.ContextHash())
	body = binary.BigEndian.AppendUint64(body, r.ReadableDigest())
	body = binary.BigEndian.AppendUint64(body, salt)
	s.ready = t.seal(r.preamble(msgScrub), s.appendSymbols(body, offerSymbols))
	return s
}

func (r *Region) preamble(kind byte) []byte {
	return append(append([]byte{wireVersion}, r.id[:]...), kind)
}

// contentItems hashes every live sibling, but those whose values are lost.
func (r *Region) contentItems(salt uint64) []uint64 {
	items := make([]uint64, 0, r.live)
	r.eachCell(posMin, posMax, func(c *cell) bool {
		for i := range c.sibs {
			if s := &c.sibs[i]; !s.lost {
				items = append(items, mix(r.siblingHash(c, s), salt))
			}
		}
		return true
	})
	return items
}

func (s *Scrub) appendSymbols(b []byte, upto int) []byte {
	s.sketch.extend(upto)
	b = binary.AppendUvarint(b, uint64(s.sent))
	b = appendSymbols(b, s.sketch.syms[s.sent:upto])
	s.sent, s.waiting = upto, true
	return b
}

// Next gives the next message for the asker, or nil: then the scrub is Waiting, or done.
func (s *Scrub) Next() []byte {
	msg := s.ready
	s.ready = nil
	return msg
}

// Waiting reports whether the asker must reply first.
func (s *Scrub) Waiting() bool { return s.waiting && s.ready == nil }

// Report says what was found, once the scrub is done.
func (s *Scrub) Report() ScrubReport { return s.report }

// Reply takes the asker's reply. Errors: ErrMalformed, ErrVersion.
func (s *Scrub) Reply(msg []byte, now int64) error {
	r := s.r
	d := decoder{b: msg}
	d.version("a reply to a scrub")
	var id RegionID
	copy(id[:], d.take(16))
	kind, n := d.byte(), d.uvarint()
	if d.err == nil && (id != r.id || !s.waiting) {
		d.fail("it is for region %v, or was not asked for", id)
	}
	switch {
	case kind == scrubMore && n > uint64(s.sent) && n <= sketchMax && n-uint64(s.sent) <= sketchBatchMax:
		var t originTable
		s.ready = t.seal(r.preamble(msgScrubSymbols), s.appendSymbols(nil, int(n)))
	case kind == scrubEnd && n <= sketchMax && uint64(len(d.b)) == 8*n:
		mine := map[uint64]bool{}
		for range n {
			mine[d.u64()] = true
		}
		s.waiting = false
		s.report.Differ = n > 0
		s.report.Mended, s.report.Left = r.mend(uint64(s.sketch.salt), mine, now)
	default:
		d.fail("kind %d, %d", kind, n)
	}
	if err := d.done(); err != nil {
		return fmt.Errorf("region %q: scrub: %w", r.name, err)
	}
	return nil
}

// Scrubber is the asking side of one comparison.
type Scrubber struct {
	r      *Region
	salt   uint64
	peel   *peeler
	reply  []byte
	report ScrubReport
	done   bool
}

// NewScrubber prepares to compare with a peer.
func (r *Region) NewScrubber() *Scrubber { return &Scrubber{r: r} }

// TakeReply gives what the answerer waits for, or nil.
func (s *Scrubber) TakeReply() []byte {
	msg := s.reply
	s.reply = nil
	return msg
}

// Done reports whether the comparison is over, and what was found.
func (s *Scrubber) Done() (ScrubReport, bool) { return s.report, s.done }

// Merge takes a message of the answerer. Where the two have not seen the same, or hold the same, that ends the
// comparison with nothing found. Errors: ErrMalformed, ErrVersion, ErrTooDifferent.
func (s *Scrubber) Merge(msg []byte, now int64) error {
	if err := s.merge(msg, now); err != nil {
		s.done = true
		return fmt.Errorf("region %q: scrub: %w", s.r.name, err)
	}
	return nil
}

func (s *Scrubber) merge(msg []byte, now int64) error {
	r := s.r
	kind, err := chunkKind(msg, r.id)
	if err != nil {
		return err
	}
	d := decoder{b: msg[flagsAt+1:]}
	d.origins()
	switch {
	case kind == msgScrub && s.peel == nil && !s.done:
		context, digest := d.u64(), d.u64()
		s.salt = d.u64()
		if d.err == nil && (context != r.ContextHash() || digest == r.ReadableDigest()) {
			s.end(nil)
			return nil
		}
		s.peel = newPeeler(newSketch(s.salt, r.contentItems(s.salt)))
	case kind == msgScrubSymbols && s.peel != nil && !s.done:
	default:
		d.fail("a message of kind %#x in a scrub", kind)
	}
	from, syms := d.uvarint(), d.symbols()
	if d.err == nil && (from != uint64(len(s.peel.left)) || len(syms) == 0) {
		d.fail("%d symbols from %d on", len(syms), from)
	}
	if err := d.done(); err != nil {
		return err
	}
	if err := s.peel.add(syms); err != nil {
		return err
	}
	return s.look(now)
}

// look ends the comparison if the difference is known, and asks for more symbols otherwise.
func (s *Scrubber) look(now int64) error {
	mine, theirs, ok := s.peel.difference()
	if ok && s.peel.done() {
		set := make(map[uint64]bool, len(mine))
		for _, h := range mine {
			set[h] = true
		}
		s.report.Differ = len(mine)+len(theirs) > 0
		s.report.Mended, s.report.Left = s.r.mend(s.salt, set, now)
		s.end(theirs)
		return nil
	}
	got := len(s.peel.left)
	upto := got + min(s.peel.more(), sketchBatchMax)
	if upto > sketchMax {
		return ErrTooDifferent
	}
	s.reply = binary.AppendUvarint(s.r.preamble(scrubMore), uint64(upto))
	return nil
}

func (s *Scrubber) end(theirs []uint64) {
	s.done = true
	s.reply = binary.AppendUvarint(s.r.preamble(scrubEnd), uint64(len(theirs)))
	for _, h := range theirs {
		s.reply = binary.BigEndian.AppendUint64(s.reply, h)
	}
}

// mend writes again the live siblings whose hashes are in a set.
func (r *Region) mend(salt uint64, hashes map[uint64]bool, now int64) (mended, left int) {
	if len(hashes) == 0 {
		return 0, 0
	}
	type found struct {
		at pos
		t  tip
	}
	var all []found
	r.eachCell(posMin, posMax, func(c *cell) bool {
		for i := range c.sibs {
			if hashes[mix(r.siblingHash(c, &c.sibs[i]), salt)] {
				all = append(all, found{c.at, c.sibs[i].tip})
			}
		}
		return true
	})
	tx := r.begin(now)
	for _, f := range all {
		again := false
		r.store.rewriteCells([]pos{f.at}, func(c *cell) {
			again = again || c.sibling(f.t) >= 0 && tx.writeAgain(c, f.t)
		})
		if again {
			mended++
		} else {
			left++
		}
	}
	r.stats.Mended += uint64(mended)
	return mended, left
}
