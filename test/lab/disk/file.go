package disk

import "math/rand/v2"

// file is a regular file: what it is, what is safe, and what led from one to the other.
type file struct {
	now, safe content
	dirty     map[int64]struct{} // pages in which the two may differ
	pending   []change           // since the last sync, in order
	backlog   int                // bytes in pending
}

// change is a write, or a new size where data is nil.
type change struct {
	at   int64
	data []byte
}

func newFile() *file {
	return &file{now: newContent(), safe: newContent(), dirty: map[int64]struct{}{}}
}

func (f *file) write(data []byte, at int64) {
	if len(data) == 0 {
		return
	}
	f.note(change{at, append([]byte(nil), data...)})
	f.now.write(data, at, &f.safe)
	f.now.size = max(f.now.size, at+int64(len(data)))
	for i := at / pageBytes; i <= (at+int64(len(data))-1)/pageBytes; i++ {
		f.dirty[i] = struct{}{}
	}
}

func (f *file) truncate(size int64) {
	f.note(change{at: size})
	for _, i := range f.now.truncate(size, &f.safe) {
		f.dirty[i] = struct{}{}
	}
}

func (f *file) note(c change) {
	f.pending = append(f.pending, c)
	f.backlog += len(c.data)
	for f.backlog > backlogBytes {
		oldest := f.pending[0]
		f.pending, f.backlog = f.pending[1:], f.backlog-len(oldest.data)
		f.settle(oldest)
	}
}

// settle makes one change safe.
func (f *file) settle(c change) {
	if c.data == nil {
		f.safe.truncate(c.at, &f.now)
		return
	}
	f.safe.write(c.data, c.at, &f.now)
	f.safe.size = max(f.safe.size, c.at+int64(len(c.data)))
}

func (f *file) sync() {
	for i := range f.dirty {
		if p := f.now.pages[i]; p != nil {
			f.safe.pages[i] = p
		} else {
			delete(f.safe.pages, i)
		}
	}
	f.safe.size = f.now.size
	clear(f.dirty)
	f.pending, f.backlog = nil, 0
}

// cut leaves what is safe, and what fate lets come to the disk of the rest.
func (f *file) cut(fate *fate, r *Report) {
	resized := 0
	for _, c := range f.pending {
		if c.data == nil {
			resized++
		}
	}
	keep := fate.prefix(resized)
	for _, c := range f.pending {
		if c.data != nil {
			f.cutWrite(c, fate, r)
		} else if keep > 0 {
			keep--
			f.settle(c)
		}
	}
	for i := range f.dirty { // what is there now is what is safe
		if p := f.safe.pages[i]; p != nil {
			f.now.pages[i] = p
		} else {
			delete(f.now.pages, i)
		}
	}
	for i := range f.safe.pages { // a size that did not survive may have hidden some
		f.now.pages[i] = f.safe.pages[i]
	}
	f.now.size = f.safe.size
	clear(f.dirty)
	f.pending, f.backlog = nil, 0
}

// cutWrite takes each sector of a write by itself.
func (f *file) cutWrite(c change, fate *fate, r *Report) {
	kept, lost := 0, 0
	for len(c.data) > 0 {
		n := min(len(c.data), sectorBytes-int(c.at%sectorBytes))
		sector := change{c.at, c.data[:n]}
		c = change{c.at + int64(n), c.data[n:]}
		if !fate.keeps() {
			lost++
			continue
		}
		kept++
		if fate.flips() && f.flipNew(sector, fate.rnd) {
			r.Flipped++
		}
		f.settle(sector)
	}
	r.Kept += kept
	r.Lost += lost
	if kept > 0 && lost > 0 {
		r.Torn++
	}
}

// flipNew changes a bit of what a sector would change. What it only repeats was there before, and stays.
func (f *file) flipNew(sector change, rnd *rand.Rand) bool {
	old := make([]byte, len(sector.data))
	f.safe.read(old, sector.at)
	var changed []int
	for i, b := range sector.data {
		if b != old[i] {
			changed = append(changed, i)
		}
	}
	if len(changed) == 0 {
		return false
	}
	sector.data[changed[rnd.IntN(len(changed))]] ^= 1 << rnd.IntN(8)
	return true
}
