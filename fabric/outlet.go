package fabric

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

// outlet is what waits for one neighbour, and the stream by which it goes. Words and losses are kept as the newest of each
// node, and so need no bound of their own. Of messages there is one: what is beyond is lost, and counted.
type outlet struct {
	m    *messages
	peer *peer
	to   tag
	ctx  context.Context // ends when the neighbour is gone
	wake chan struct{}   // capacity 1: one signal stands for any number

	mu      sync.Mutex // a leaf
	words   map[tag]struct{}
	losses  map[tag]uint64
	letters []letter
	bytes   int
	resting bool // the stream failed: nothing is kept until the next one
}

const (
	lettersMax      = 4096
	letterBytesMax  = 4 << 20
	outletBatch     = 64 << 10 // bytes that are written at once
	outletRetryMin  = time.Second
	outletRetryMax  = 5 * time.Minute
	letterOverheads = 64 // what one costs beside its body and its tags, about
)

func (l *letter) size() int { return len(l.body) + len(l.to)*len(tag{}) + letterOverheads }

func newOutlet(ctx context.Context, m *messages, p *peer) *outlet {
	return &outlet{m: m, peer: p, to: tagOf(p.id), ctx: ctx, wake: make(chan struct{}, 1), words: map[tag]struct{}{}, losses: map[tag]uint64{}}
}

func (o *outlet) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// word notes that what a node said is to be passed on.
func (o *outlet) word(of tag) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.words[of] = struct{}{}
	o.kick()
}

// knows notes that the neighbour said itself what was to be passed on.
func (o *outlet) knows(of tag) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.words, of)
}

// lost notes that a node is lost.
func (o *outlet) lost(of tag, seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.losses[of] = max(o.losses[of], seq)
	o.kick()
}

// put queues a message; false if it is lost.
func (o *outlet) put(l letter) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.resting || len(o.letters) >= lettersMax || o.bytes+l.size() > letterBytesMax {
		return false
	}
	o.letters = append(o.letters, l)
	o.bytes += l.size()
	o.kick()
	return true
}

// parcel is what is written at once.
type parcel struct {
	words   []tag
	losses  []loss
	letters []letter
}

func (p *parcel) empty() bool { return len(p.words)+len(p.losses)+len(p.letters) == 0 }

// take gives what waits: all words and losses, and as many messages as go at once.
func (o *outlet) take() (p parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for of := range o.words {
		p.words = append(p.words, of)
	}
	for of, seq := range o.losses {
		p.losses = append(p.losses, loss{of, seq})
	}
	clear(o.words)
	clear(o.losses)
	slices.SortFunc(p.words, compareTags)
	slices.SortFunc(p.losses, func(a, b loss) int { return compareTags(a.of, b.of) })
	n, size := 0, 0
	for n < len(o.letters) && (n == 0 || size+o.letters[n].size() <= outletBatch) {
		size += o.letters[n].size()
		n++
	}
	p.letters = o.letters[:n:n]
	if o.letters = o.letters[n:]; len(o.letters) == 0 {
		o.letters = nil
	}
	o.bytes -= size
	return p
}

// rest drops what waits, until resume.
func (o *outlet) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.m.count.broken.Add(uint64(len(o.letters)))
	o.letters, o.bytes, o.resting = nil, 0, true
}

// resume begins anew: what was said may not have arrived.
func (o *outlet) resume() {
	o.mu.Lock()
	o.resting = false
	o.mu.Unlock()
	o.m.tell(o.to)
}

// run sends what there is until the neighbour is gone.
func (o *outlet) run() {
	defer o.rest()
	rnd := o.m.f.random()
	backoff := outletRetryMin
	for o.wait() {
		welcome, err := o.session()
		if o.ctx.Err() != nil {
			return
		}
		if welcome {
			backoff = outletRetryMin
		}
		o.m.f.cfg.Logger.Debug("stream of messages ended", "peer", o.peer.id, "err", err, "again", backoff)
		o.rest()
		if !sleep(o.ctx, jitter(rnd, backoff)) {
			return
		}
		backoff = min(2*backoff, outletRetryMax)
		o.resume()
	}
}

// wait returns when there may be something to send; false when the neighbour is gone.
func (o *outlet) wait() bool {
	select {
	case <-o.wake:
		return o.ctx.Err() == nil
	case <-o.ctx.Done():
		return false
	}
}

// session sends by one stream until that fails. welcome tells whether the neighbour takes messages.
func (o *outlet) session() (welcome bool, err error) {
	dial, cancel := context.WithTimeout(o.ctx, stallTimeout)
	s, err := o.m.f.cfg.Transport.OpenStream(dial, o.peer.id)
	cancel()
	if err != nil {
		return false, err
	}
	c := newConn(o.ctx, s, limits{})
	stop := c.watchContext(o.ctx)
	defer func() { stop(); c.close(err) }()
	if err := o.open(c); err != nil {
		return false, err
	}
	for {
		p := o.take()
		for ; !p.empty(); p = o.take() {
			if err := o.send(c, &p); err != nil {
				o.m.count.broken.Add(uint64(len(p.letters)))
				return true, err
			}
		}
		if !o.wait() {
			return true, o.ctx.Err()
		}
	}
}

func (o *outlet) open(c *conn) error {
	if err := c.send(frameOpen, binary.AppendUvarint(nil, 0)); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	kind, err := c.next()
	switch {
	case err != nil:
		return err
	case kind != frameWelcome || c.size > openMax:
		return fmt.Errorf("%w: frame of kind %d and %d bytes instead of a welcome", errProtocol, kind, c.size)
	}
	return c.skip()
}

func (o *outlet) send(c *conn, p *parcel) error {
	var b []byte
	for _, w := range o.m.wordsOf(p.words) {
		b = w.append(b[:0])
		if err := c.send(frameWord, b); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(p.losses, lossesMax) {
		b = appendLosses(b[:0], some)
		if err := c.send(frameLost, b); err != nil {
			return err
		}
	}
	for i := range p.letters {
		b = p.letters[i].append(b[:0])
		if err := c.send(frameMessage, b); err != nil {
			return err
		}
	}
	return c.flush()
}
