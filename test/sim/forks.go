package sim

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// A machine that is put back to a snapshot of its memory goes on under its old origin, and gives numbers to new
// writes that name others elsewhere. Then a dot does not tell a write any more, and the oracle cannot. So what is
// checked are members and keys that are added once: whatever happens, and whichever life wrote them, all that any replica
// shows when the network heals must be shown by every replica in the end. Other keys are overwritten and removed by
// all; they must be equal.
//
// In half of the schedules a machine that was put back meets the peer that knows most of it before anybody else hears
// of its new writes. Then it must be told, and pulls alone must make all equal. In the others scrubs do.

// forkNode is one replica and its machine.
type forkNode struct {
	r           *crdt.Region
	incarnation int
	disk        image
	told        crdt.Seq // the highest of our own writes that a peer was heard to know
	snapshot    *forkNode
}

type forkWorld struct {
	rng    *rand.Rand
	told   bool // machines that were put back are told at once
	nodes  []*forkNode
	flight []message
	added  int
	forked int // resumes after which the snapshot's numbers were given again
	reborn int
	mended int
}

// playForks plays a schedule in which machines are put back to snapshots of their memory, and gives the first thing that
// is wrong.
func playForks(seed uint64) (w *forkWorld, err error) {
	w = &forkWorld{rng: rand.New(rand.NewPCG(seed, 0x666f726b)), told: seed%2 == 1}
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
		}
	}()
	for i := range 2 + w.rng.IntN(3) {
		w.nodes = append(w.nodes, &forkNode{disk: image{}, incarnation: 1})
		w.open(i)
	}
	for range 20 + w.rng.IntN(60) {
		if err := w.step(); err != nil {
			return w, err
		}
	}
	return w, w.heal()
}

// open boots a replica from its disk, under the origin that it has.
func (w *forkWorld) open(i int) {
	n := w.nodes[i]
	n.r = crdt.NewRegion(crdt.Config{Name: regionName, Self: originOf(i, n.incarnation), Push: true, Small: -w.rng.IntN(2)})
	for _, k := range slices.Sorted(maps.Keys(n.disk)) {
		if err := n.r.Load(crdt.Record{Key: []byte(k), Value: n.disk[k]}); err != nil {
			panic(err)
		}
	}
	n.r.Loaded(startMs)
}

func (w *forkWorld) step() error {
	i := w.rng.IntN(len(w.nodes))
	n := w.nodes[i]
	switch x := w.rng.IntN(100); {
	case x < 40:
		return w.add(i)
	case x < 55:
		for _, m := range n.r.TakePush() {
			for j := range w.nodes {
				if j != i && w.rng.IntN(3) > 0 {
					w.flight = append(w.flight, message{from: i, to: j, body: m})
				}
			}
		}
	case x < 75:
		return w.deliver()
	case x < 90:
		_, err := w.pull(i, (i+1+w.rng.IntN(len(w.nodes)-1))%len(w.nodes))
		return err
	case x < 95:
		n.commit()
		n.snapshot = &forkNode{incarnation: n.incarnation, disk: maps.Clone(n.disk), told: n.told}
	case n.snapshot != nil:
		return w.putBack(i)
	}
	return nil
}

// putBack resumes a machine from its snapshot.
func (w *forkWorld) putBack(i int) error {
	n := w.nodes[i]
	self, top := n.r.Self(), n.r.OwnTop()
	n.incarnation, n.disk, n.told = n.snapshot.incarnation, maps.Clone(n.snapshot.disk), n.snapshot.told
	w.open(i)
	if n.r.Self() == self && n.r.OwnTop() == top {
		return nil
	}
	w.forked++
	if !w.told {
		return nil
	}
	w.flight = slices.DeleteFunc(w.flight, func(m message) bool { return m.from == i })
	knows, best := n.r.OwnTop(), -1
	for j, x := range w.nodes {
		if runs := x.r.Context()[n.r.Self()]; runs.Top() > knows {
			knows, best = runs.Top(), j
		}
	}
	if best < 0 {
		return nil // what the other life wrote since is nowhere
	}
	for k := w.rng.Uint64N(uint64(knows - n.r.OwnTop())); k > 0; k-- {
		if err := w.one(i); err != nil {
			return err
		}
	}
	before := w.reborn
	if _, err := w.pull(i, best); err != nil {
		return err
	}
	if w.reborn == before {
		return fmt.Errorf("n%d was put back and is not told", i)
	}
	return nil
}

// one makes a transaction of one write.
func (w *forkWorld) one(i int) error {
	return w.nodes[i].r.Update(startMs, func(tx *crdt.Tx) error { return w.write(tx) })
}

// write makes one write: something new, or something that others write too.
func (w *forkWorld) write(tx *crdt.Tx) (err error) {
	hot := []string{"hot0", "hot1"}[w.rng.IntN(2)]
	w.added++
	switch w.rng.IntN(6) {
	case 0, 1:
		_, err = tx.SetAdd([]string{"a", "b", ""}[w.rng.IntN(3)], fmt.Sprint("m", w.added))
	case 2, 3:
		tx.Set(fmt.Sprint("k", w.added), []byte("v"), false)
	case 4:
		tx.Set(hot, fmt.Append(nil, w.added), false)
	default:
		tx.Del(hot)
	}
	return err
}

func (w *forkWorld) add(i int) error {
	return w.nodes[i].r.Update(startMs, func(tx *crdt.Tx) (err error) {
		for range 1 + w.rng.IntN(3) {
			err = errors.Join(err, w.write(tx))
		}
		return err
	})
}

func (w *forkWorld) deliver() error {
	if len(w.flight) == 0 {
		return nil
	}
	k := w.rng.IntN(len(w.flight))
	m := w.flight[k]
	w.flight = slices.Delete(w.flight, k, k+1)
	_, err := w.nodes[m.to].r.Push(m.body, startMs)
	return w.rolledBack(m.to, err)
}

// rolledBack lets a replica that was told so begin a new life.
func (w *forkWorld) rolledBack(i int, err error) error {
	if !errors.Is(err, crdt.ErrRolledBack) {
		return err
	}
	n := w.nodes[i]
	w.reborn++
	n.r.Reincarnate(originOf(i, 1000+w.reborn), n.told, startMs)
	n.incarnation, n.told = 1000+w.reborn, 0
	return n.r.Audit()
}

// pull runs one whole session, and reports whether anything came.
func (w *forkWorld) pull(i, j int) (got bool, err error) {
	a, b := w.nodes[i], w.nodes[j]
	rc := a.r.NewReceiver()
	seen, err := crdt.DecodeHello(a.r.Hello())
	if err != nil {
		return false, err
	}
	if err := b.r.CheckHello(seen); err != nil {
		return true, w.rolledBack(j, err)
	}
	known := seen.Context[b.r.Self()]
	b.told = max(b.told, known.Top())
	p := b.r.NewPull(seen)
	for {
		msg := p.Next(chunkSizes[w.rng.IntN(len(chunkSizes))])
		if reply := rc.TakeReply(); msg == nil && reply != nil {
			if err := p.Reply(reply); err != nil {
				return got, err
			}
			continue
		} else if msg == nil {
			break
		}
		got = true
		if err := rc.Merge(msg, startMs); err != nil {
			return true, w.rolledBack(i, err)
		}
	}
	own := rc.Cut()[a.r.Self()]
	a.told = max(a.told, min(own.Top(), a.r.OwnTop()))
	return got, a.r.Audit()
}

func (n *forkNode) commit() {
	for _, rec := range n.r.TakeDirty() {
		if rec.Value == nil {
			delete(n.disk, string(rec.Key))
		} else {
			n.disk[string(rec.Key)] = rec.Value
		}
	}
}

// forkRoundsMax bounds the rounds of pulls and scrubs at the end.
const forkRoundsMax = 12

func (w *forkWorld) heal() error {
	for len(w.flight) > 0 {
		if err := w.deliver(); err != nil {
			return err
		}
	}
	want := map[string]bool{}
	for _, n := range w.nodes {
		maps.Copy(want, n.shows())
	}
	delete(want, "hot0")
	delete(want, "hot1")
	for range forkRoundsMax {
		quiet, err := w.round()
		if err != nil {
			return err
		}
		if quiet {
			return w.compare(want)
		}
	}
	return fmt.Errorf("not equal after %d rounds of pulls and scrubs", forkRoundsMax)
}

// round lets everyone pull from everyone, and compares those that have seen the same.
func (w *forkWorld) round() (quiet bool, err error) {
	quiet = true
	for i := range w.nodes {
		for j := range w.nodes {
			if i == j {
				continue
			}
			got, err := w.pull(i, j)
			if err != nil {
				return false, err
			}
			mended := 0
			if !w.told {
				if mended, err = w.scrub(i, j); err != nil {
					return false, err
				}
			}
			w.mended += mended
			quiet = quiet && !got && mended == 0
		}
	}
	return quiet, nil
}

// scrub compares two replicas, and gives what they wrote again.
func (w *forkWorld) scrub(i, j int) (int, error) {
	s, x := w.nodes[j].r.NewScrub(), w.nodes[i].r.NewScrubber()
	for msg := s.Next(); msg != nil; msg = s.Next() {
		if err := x.Merge(msg, startMs); err != nil {
			return 0, err
		}
		if err := s.Reply(x.TakeReply(), startMs); err != nil {
			return 0, err
		}
	}
	report, done := x.Done()
	if !done {
		return 0, errors.New("a scrub did not end")
	}
	return report.Mended + s.Report().Mended, nil
}

// shows lists the members and keys that a replica shows.
func (n *forkNode) shows() map[string]bool {
	out := map[string]bool{}
	v := n.r.View(startMs)
	v.KeysWithPrefix("", func(key string, kind crdt.Kind) bool {
		if kind == crdt.KindSet {
			_ = v.SetEach(key, func(m string) bool { out[key+"/"+m] = true; return true })
		} else {
			out[key] = true
		}
		return true
	})
	return out
}

func (w *forkWorld) compare(want map[string]bool) error {
	a := w.nodes[0].r
	for i, n := range w.nodes {
		if !n.r.Context().Equal(a.Context()) || n.r.Digest() != a.Digest() {
			return fmt.Errorf("n%d and n0 differ: digests %x and %x, contexts equal: %v", i, n.r.Digest(), a.Digest(), n.r.Context().Equal(a.Context()))
		}
		is := n.shows()
		for _, x := range slices.Sorted(maps.Keys(want)) {
			if !is[x] {
				return fmt.Errorf("n%d lost %q", i, x)
			}
		}
		if len(is) > w.added {
			return fmt.Errorf("n%d shows %d of %d", i, len(is), w.added)
		}
	}
	return nil
}
