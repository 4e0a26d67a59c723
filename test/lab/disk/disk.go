package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"time"
)

// Options say what kind of disk it is. The zero value is an honest one.
type Options struct {
	// Strict: to sync a file does not make its name safe; its folder has to be synced too.
	Strict bool
	// Lie: what syncs a file answers at once, and nothing becomes safe by it. Names do.
	Lie bool
}

// Disk is one. Its methods may be called concurrently, except Mount, Unmount and Cut.
type Disk struct {
	o Options

	mu      sync.Mutex
	root    *node
	inodes  uint64
	held    chan struct{} // not nil: whoever syncs waits until it is closed, and fails
	syncs   uint64
	mounted mounted
}

// node is a file, a folder, or something that only has a name.
type node struct {
	ino     uint64
	mode    uint32 // as in stat
	changed time.Time
	parent  *node
	file    *file
	folder  *folder
}

// New makes an empty disk.
func New(o Options) *Disk {
	d := &Disk{o: o}
	d.root = d.newNode(nil, modeFolder|0o700)
	return d
}

func (d *Disk) newNode(parent *node, mode uint32) *node {
	d.inodes++
	n := &node{ino: d.inodes, mode: mode, changed: time.Now(), parent: parent}
	switch mode & modeKind {
	case modeFolder:
		n.folder = newFolder()
	case modeFile:
		n.file = newFile()
	}
	return n
}

const ( // of stat
	modeKind   = 0o170000
	modeFolder = 0o040000
	modeFile   = 0o100000
)

// Hold keeps everyone who syncs waiting from now on: nothing becomes safe any more, nobody hears that it has. Then is the time to kill
// the process, and to Release whoever waits, with an error.
func (d *Disk) Hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		d.held = make(chan struct{})
	}
}

// Release ends the waiting. Syncs fail until the next Mount.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		d.held = make(chan struct{})
	}
	select {
	case <-d.held:
	default:
		close(d.held)
	}
}

var errCut = errors.New("disk: the power is off")

// sync makes a node safe.
func (d *Disk) sync(n *node) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if held := d.held; held != nil {
		d.mu.Unlock()
		<-held
		d.mu.Lock()
		return errCut
	}
	d.syncs++
	if n.folder != nil {
		n.folder.sync()
	} else if n.file != nil && !d.o.Lie {
		n.file.sync()
	}
	for at := n; at.parent != nil && !d.o.Strict; at = at.parent {
		at.parent.folder.syncNode(at)
	}
	return nil
}

// Syncs is how many were answered.
func (d *Disk) Syncs() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// Report is what a cut did. Sectors have 512 bytes.
type Report struct {
	Kept, Lost int // sectors that were not safe
	Torn       int // writes of which some sectors came
	Flipped    int // bits
	LostNames  int // files and folders that were not made, renamed or removed
}

func (r Report) String() string {
	return fmt.Sprintf("%d sectors kept, %d lost, %d writes torn, %d bits flipped, %d names lost", r.Kept, r.Lost, r.Torn, r.Flipped, r.LostNames)
}

// Add sums reports up.
func (r *Report) Add(o Report) {
	r.Kept += o.Kept
	r.Lost += o.Lost
	r.Torn += o.Torn
	r.Flipped += o.Flipped
	r.LostNames += o.LostNames
}

// Cut cuts the power of a disk that is not mounted.
func (d *Disk) Cut(rnd *rand.Rand) (r Report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.root.cut(newFate(rnd), &r)
	return r
}

// cut takes names in order, so that a seed replays it.
func (n *node) cut(f *fate, r *Report) {
	if n.file != nil {
		n.file.cut(f, r)
	}
	if n.folder == nil {
		return
	}
	n.folder.cut(f, r)
	for _, name := range n.folder.sorted() {
		n.folder.names[name].cut(f, r)
	}
}

// fate decides what a cut leaves of what was not safe.
type fate struct {
	rnd  *rand.Rand
	keep float64 // share of sectors that came to the disk
	flip float64 // share of those that have a flipped bit
}

// newFate lets a quarter of all cuts lose everything, and a quarter nothing.
func newFate(rnd *rand.Rand) *fate {
	f := &fate{rnd: rnd}
	switch rnd.IntN(4) {
	case 0:
	case 1:
		f.keep = 1
	default:
		f.keep = rnd.Float64()
		f.flip = []float64{0, 0.02, 0.5}[rnd.IntN(3)]
	}
	return f
}

func (f *fate) keeps() bool { return f.rnd.Float64() < f.keep }
func (f *fate) flips() bool { return f.rnd.Float64() < f.flip }

// prefix is how many of n things that happened in order came to the disk.
func (f *fate) prefix(n int) int {
	switch f.keep {
	case 0:
		return 0
	case 1:
		return n
	}
	return f.rnd.IntN(n + 1)
}

// Files lists the files that have content, with their sizes, by their paths on the disk.
func (d *Disk) Files() map[string]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string]int64{}
	d.root.list("", files)
	return files
}

func (n *node) list(at string, files map[string]int64) {
	if n.file != nil && len(n.file.now.pages) > 0 {
		files[at] = n.file.now.size
	}
	if n.folder == nil {
		return
	}
	for name, child := range n.folder.names {
		child.list(path.Join(at, name), files)
	}
}

// Flip changes one bit that the file at name has, where that is not a hole, and says where. The same Flip again with the position changes it back.
func (d *Disk) Flip(name string, rnd *rand.Rand) (at int64, bit int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	if n == nil || n.file == nil || len(n.file.now.pages) == 0 {
		return 0, 0, fmt.Errorf("disk: %s has nothing to flip", name)
	}
	var used []int64 // bytes that are not zero, in order of pages: most of a log is holes
	for i := int64(0); i*pageBytes < n.file.now.size; i++ {
		p := n.file.now.pages[i]
		if p == nil {
			continue
		}
		for j, b := range p {
			if b != 0 && i*pageBytes+int64(j) < n.file.now.size {
				used = append(used, i*pageBytes+int64(j))
			}
		}
	}
	if len(used) == 0 {
		used = []int64{0}
	}
	at, bit = used[rnd.IntN(len(used))], rnd.IntN(8)
	n.file.flip(at, bit)
	return at, bit, nil
}

// FlipAt changes one bit.
func (d *Disk) FlipAt(name string, at int64, bit int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	if n == nil || n.file == nil || at >= n.file.now.size {
		return fmt.Errorf("disk: %s has no byte %d", name, at)
	}
	n.file.flip(at, bit)
	return nil
}

func (f *file) flip(at int64, bit int) {
	var b [1]byte
	f.now.read(b[:], at)
	b[0] ^= 1 << bit
	f.write(b[:], at)
	f.sync()
}

// Clone copies a disk that is not mounted and where all is safe, as it is after Cut.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{o: d.o, inodes: d.inodes, root: d.root.clone(nil)}
}

func (n *node) clone(parent *node) *node {
	c := &node{ino: n.ino, mode: n.mode, changed: n.changed, parent: parent}
	if n.file != nil {
		c.file = newFile()
		for i, p := range n.file.now.pages {
			copied := *p
			c.file.now.pages[i], c.file.safe.pages[i] = &copied, &copied
		}
		c.file.now.size, c.file.safe.size = n.file.now.size, n.file.now.size
	}
	if n.folder != nil {
		c.folder = newFolder()
		for name, child := range n.folder.names {
			c.folder.names[name] = child.clone(c)
		}
		c.folder.sync()
	}
	return c
}

func (d *Disk) find(name string) *node {
	at := d.root
	for _, part := range strings.Split(name, "/") {
		if at == nil || at.folder == nil {
			return nil
		}
		at = at.folder.names[part]
	}
	return at
}
