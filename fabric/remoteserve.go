package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Bounds of what others may have under way at a holder. What is beyond is told so, and asks another one.
const (
	servedMax      = 1024             // requests,
	servedEach     = 256              // of one stream,
	servedLasting  = 512              // of them those without an end,
	servedBytesMax = 32 << 20         // and bytes of their bodies
	answerMax      = 32 << 20         // bytes of the answer to a write, which is kept until it is whole
	answersMax     = 64 << 20         // bytes of all answers that are made and not taken yet, beyond the first
	takenEvery     = 30 * time.Second // an answer of which nothing is taken for so long ends
	aheadWait      = 500 * time.Millisecond
	writeTimeMax   = time.Minute // a write is over then, here and at the asker
)

// Asked is a request that another member made of a region that this node holds.
type Asked struct {
	Region *Region
	From   crdt.NodeID
	Body   []byte // the handler's until it returns
	Write  bool   // as the asker said: else nothing may be written
}

// Handler answers a request, and writes the answer to w; it returns soon after ctx ends. It runs on its own goroutine. An error that is
// ErrNotHeld, before anything was written, has the asker go to another holder. Any other tells the asker that nothing can be done here.
type Handler func(ctx context.Context, q *Asked, w io.Writer) error

// Answer has a handler answer the requests that other members make of a service. done ends that, and waits for those under way.
func (f *Fabric) Answer(service string, h Handler) (done func()) {
	s := &serving{answer: h}
	x := f.remotes
	x.mu.Lock()
	defer x.mu.Unlock()
	x.services[service] = s
	return func() {
		x.mu.Lock()
		if x.services[service] == s {
			delete(x.services, service)
		}
		x.mu.Unlock()
		s.close()
	}
}

// serving is a handler and who is in it.
type serving struct {
	answer Handler

	mu     sync.Mutex
	closed bool
	cancel map[*context.CancelFunc]struct{}
	under  sync.WaitGroup
}

// enter gives a context that ends when the handler is taken away.
func (s *serving) enter(ctx context.Context) (in context.Context, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, false
	}
	in, cancel := context.WithCancel(ctx)
	if s.cancel == nil {
		s.cancel = map[*context.CancelFunc]struct{}{}
	}
	s.cancel[&cancel] = struct{}{}
	s.under.Add(1)
	return in, func() {
		cancel()
		s.mu.Lock()
		delete(s.cancel, &cancel)
		s.mu.Unlock()
		s.under.Done()
	}, true
}

func (s *serving) close() {
	s.mu.Lock()
	s.closed = true
	for cancel := range s.cancel {
		(*cancel)()
	}
	s.mu.Unlock()
	s.under.Wait()
}

// desk answers the requests of one stream.
type desk struct {
	x    *remotes
	from crdt.NodeID
	run  run
	l    *duplex

	mu    sync.Mutex
	under map[uint64]*served
}

// served is a request under way.
type served struct {
	id     uint64
	cancel context.CancelFunc

	mu     sync.Mutex
	window int // bytes that may go
	more   signal
}

// serve answers the requests that come by one stream, until it ends.
func (x *remotes) serve(id crdt.NodeID, c *conn) error {
	if kind, err := c.next(); err != nil || kind != frameCall || c.size > openMax {
		return errors.Join(err, fmt.Errorf("%w: an opening of %d bytes", errProtocol, c.size))
	}
	b, err := c.payload()
	if err != nil {
		return err
	}
	d := &desk{x: x, from: id, under: map[uint64]*served{}}
	if d.run, err = decodeCall(b); err != nil {
		return err
	}
	memory, ok := x.deeds.greet(askerID{id, d.run})
	if !ok {
		return fmt.Errorf("fabric: %d programs ask here for writes, as many as are remembered", askersMax)
	}
	defer x.deeds.bye(askerID{id, d.run})
	if err := c.send(frameReady, appendCall(nil, 0, memory)); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.duplex = true
	c.patience(0)
	d.l = newDuplex(x.f.ctx, c)
	written := make(chan struct{})
	x.f.goDo(func() { defer close(written); d.l.write() })
	defer context.AfterFunc(d.l.ctx, func() { c.close(errLineEnded) })()
	err = d.l.read(d.frame)
	<-written // the stream's bytes are counted after
	return err
}

var errLineEnded = fmt.Errorf("%w: its stream ended", errBroken)

func (d *desk) frame(kind byte, b []byte) error {
	switch kind {
	case frameRequest:
		q, err := decodeRequest(b)
		if err != nil {
			return err
		}
		return d.take(q)
	case frameMore, frameCancel:
		id, n, err := decodeMore(b, kind == frameMore)
		if err != nil {
			return err
		}
		d.mu.Lock()
		s := d.under[id]
		d.mu.Unlock()
		if s == nil {
			return nil // it is over
		}
		if kind == frameCancel {
			s.cancel()
			return nil
		}
		return s.open(int(n))
	}
	return nil
}

// open lets more of the answer go.
func (s *served) open(n int) error {
	s.mu.Lock()
	s.window += n
	bad := s.window > remoteWindow
	s.mu.Unlock()
	s.more.raise()
	if bad {
		return fmt.Errorf("%w: more was taken of an answer than was sent", errProtocol)
	}
	return nil
}

// take begins a request, or says why not.
func (d *desk) take(q request) error {
	s := &served{id: q.id, window: remoteWindow}
	refused := d.admit(s, &q)
	if refused != nil {
		return d.l.put(d.l.ctx, frameDone, refused.append(nil))
	}
	q.body = bytes.Clone(q.body)
	ctx, limit := d.l.ctx, q.timeout
	if q.is(requestWrites) { // who asked comes back for the answer
		ctx, limit = d.x.f.ctx, min(max(q.timeout, time.Millisecond), writeTimeMax)
	}
	if limit > 0 && !q.is(requestLasts) {
		ctx, s.cancel = context.WithTimeout(ctx, limit)
	} else {
		ctx, s.cancel = context.WithCancel(ctx)
	}
	if q.is(requestWrites) {
		cancel := s.cancel
		s.cancel = func() {} // the asker is not the only one who may want the answer
		d.x.f.goDo(func() { defer cancel(); defer d.leave(s, &q); d.write(ctx, s, &q) })
		return nil
	}
	d.x.f.goDo(func() { defer s.cancel(); defer d.leave(s, &q); d.answer(ctx, s, &q) })
	return nil
}

// admit counts a request, unless that is one too many.
func (d *desk) admit(s *served, q *request) *outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.under[q.id] != nil {
		return &outcome{id: q.id, status: statusRefused, detail: "its id is under way"}
	}
	if len(d.under) >= servedEach || !d.x.admit(q, 1) {
		return &outcome{id: q.id, status: statusBusy, detail: "this node has as many requests under way as it takes"}
	}
	d.under[q.id] = s
	s.cancel = func() {}
	return nil
}

func (d *desk) leave(s *served, q *request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.under, s.id)
	d.x.admit(q, -1)
}

// admit counts what is under way of all streams.
func (x *remotes) admit(q *request, change int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	lasting := 0
	if q.is(requestLasts) {
		lasting = change
	}
	n, bytes, last := x.under+change, x.bytes+change*len(q.body), x.lasting+lasting
	if change > 0 && (n > servedMax || bytes > servedBytesMax || last > servedLasting) {
		return false
	}
	x.under, x.bytes, x.lasting = n, bytes, last
	return true
}

// answer runs a request that writes nothing, whose answer goes as it is made.
func (d *desk) answer(ctx context.Context, s *served, q *request) {
	w := &answerWriter{ctx: ctx, d: d, s: s}
	out := d.x.handle(ctx, d.from, q, w)
	d.end(&out, q)
}

// end says how it ended.
func (d *desk) end(out *outcome, q *request) {
	out.id = q.id
	_ = d.l.put(d.l.ctx, frameDone, out.append(nil))
}

// write runs a write once, and gives what came of it to whoever asks with its id.
func (d *desk) write(ctx context.Context, s *served, q *request) {
	w, fresh := d.x.deeds.enter(askerID{d.from, d.run}, q)
	switch {
	case w == nil:
		d.end(&outcome{status: statusDoubt, detail: "what came of the write is forgotten"}, q)
		return
	case fresh:
		kept := keptWriter{x: d.x}
		out := d.x.handle(ctx, d.from, q, &kept)
		d.x.keep(-len(kept.b)) // deeds has a bound of its own
		d.x.deeds.done(w, out, kept.b)
	}
	select {
	case <-w.done:
	case <-d.l.ctx.Done():
		return
	}
	to := &answerWriter{ctx: d.l.ctx, d: d, s: s}
	if _, err := to.Write(w.answer); err == nil {
		out := w.out
		d.end(&out, q)
	}
}

// handle runs a request on this node's replica.
func (x *remotes) handle(ctx context.Context, from crdt.NodeID, q *request, w io.Writer) (out outcome) {
	start := time.Now()
	defer func() { out.served = time.Since(start) }()
	if err := CheckRegionName(q.region); err != nil {
		return outcome{status: statusRefused, detail: err.Error()}
	}
	r := x.f.known(q.region)
	if r == nil || !r.Held() {
		return outcome{status: statusNotHeld}
	}
	x.mu.Lock()
	s := x.services[q.service]
	x.mu.Unlock()
	if s == nil {
		return outcome{status: statusUnknown, detail: fmt.Sprintf("no service %q", q.service)}
	}
	ctx, leave, ok := s.enter(ctx)
	if !ok {
		return outcome{status: statusUnknown, detail: "this node is closing"}
	}
	defer leave()
	missing, err := r.ahead(ctx, q.token)
	if err != nil {
		return outcome{status: statusRefused, detail: err.Error()}
	}
	counted := &countedWriter{w: w}
	err = s.answer(ctx, &Asked{Region: r, From: from, Body: q.body, Write: q.is(requestWrites)}, counted)
	switch {
	case errors.Is(err, ErrNotHeld) && counted.n == 0:
		return outcome{status: statusNotHeld}
	case errors.Is(err, errAnswers) && q.is(requestWrites): // it may be done
		return outcome{status: statusDoubt, detail: err.Error()}
	case errors.Is(err, errAnswers) && counted.n == 0:
		return outcome{status: statusBusy, detail: err.Error()}
	case err != nil:
		return outcome{status: statusFailed, detail: err.Error()}
	}
	x.note(&x.count.Served)
	r.noteUse(from, q.is(requestWrites), len(q.body)+counted.n)
	out = outcome{missing: missing}
	out.upTo, out.dark = x.fresh.of(r, time.Now())
	if q.is(requestWrites) {
		if t := r.Token().String(); len(t) <= remoteTokenMax {
			out.token = t
		}
	}
	return out
}

// ahead waits a moment for what an asker wrote through another holder, and gives how many writes of that are missing.
func (r *Region) ahead(ctx context.Context, text string) (missing uint64, err error) {
	t, err := ParseToken(text)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, aheadWait)
	defer cancel()
	err = r.At(ctx, t)
	var stale *StaleError
	if errors.As(err, &stale) {
		return stale.Missing, nil
	}
	return 0, err
}

// answerWriter sends an answer as far as the asker takes it.
type answerWriter struct {
	ctx context.Context
	d   *desk
	s   *served
}

func (w *answerWriter) Write(b []byte) (n int, err error) {
	if !w.d.x.keep(len(b)) {
		return 0, errAnswers
	}
	defer w.d.x.keep(-len(b))
	for n < len(b) {
		step, err := w.s.take(w.ctx, min(len(b)-n, partMax))
		if err != nil {
			return n, err
		}
		frame := append(appendNumbers(make([]byte, 0, step+10), w.s.id), b[n:n+step]...)
		if err := w.d.l.put(w.ctx, framePart, frame); err != nil {
			return n, err
		}
		n += step
	}
	return n, nil
}

var (
	errAnswers = errors.New("fabric: this node keeps as many answers as it can that nobody has taken yet")
	errUntook  = fmt.Errorf("fabric: nothing of the answer was taken for %v", takenEvery)
)

// keep counts the bytes of answers that are held; false: these are too many. One is held whatever its size.
func (x *remotes) keep(change int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if change > 0 && x.answers > 0 && x.answers+change > answersMax {
		return false
	}
	x.answers += change
	return true
}

// take waits until some bytes may go, and gives how many.
func (s *served) take(ctx context.Context, most int) (n int, err error) {
	var late <-chan time.Time
	for {
		more := s.more.next()
		s.mu.Lock()
		n = min(most, s.window)
		s.window -= n
		s.mu.Unlock()
		if n > 0 {
			return n, ctx.Err()
		}
		if late == nil {
			timer := time.NewTimer(takenEvery)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-more:
		case <-late:
			return 0, errUntook
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// keptWriter keeps an answer.
type keptWriter struct {
	x *remotes
	b []byte
}

func (w *keptWriter) Write(b []byte) (int, error) {
	if len(w.b)+len(b) > answerMax {
		return 0, fmt.Errorf("%w: an answer of more than %d bytes", errAnswers, answerMax)
	}
	if !w.x.keep(len(b)) {
		return 0, errAnswers
	}
	w.b = append(w.b, b...)
	return len(b), nil
}

type countedWriter struct {
	w io.Writer
	n int
}

func (w *countedWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.n += n
	return n, err
}
