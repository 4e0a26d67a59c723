package fabric

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// end is what this node knows of asking one holder. There is one stream, which is opened when it is needed and stays.
type end struct {
	x    *remotes
	peer *peer

	mu      sync.Mutex
	holder  Holder
	session *asking
	dialing chan struct{} // closed when the stream that is being opened is open, or not
	failed  error         // why the last one was not
	resting time.Time     // not to be asked before, unless nobody else is left
	ids     uint64        // the last one
	calls   map[uint64]struct{}
	rtt     time.Duration // without what the holder took; 0: not measured
	took    [tookKept]time.Duration
	tooks   int // how many were measured
}

const (
	tookKept     = 64 // of the last reads, by which one that is slow is told
	tookLeast    = 8  // of them; before, hedgeFirst
	hedgeFirst   = 200 * time.Millisecond
	hedgeLeast   = 2 * time.Millisecond
	restAfter    = 2 * time.Second // a stream that failed
	restUnable   = time.Minute     // a node of an earlier version
	rttUnknown   = 100 * time.Millisecond
	costResting  = time.Hour
	repeatEvery  = 100 * time.Millisecond // a write whose stream broke is asked again
	silentTooMax = 10 * time.Second       // a stream on which nothing came for so long, though a request ran out of time, is given up
)

var errUnable = errors.New("fabric: the node answers no requests")

func (e *end) who() Holder {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.holder
}

// cost is by what holders are chosen.
func (e *end) cost(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.rtt
	if c == 0 {
		c = time.Duration(e.peer.rtt.Load())
	}
	if c == 0 {
		c = rttUnknown
	}
	if now.Before(e.resting) {
		c += costResting
	}
	return c
}

// patience is how long to wait before a second holder is asked, too: longer than 19 of 20 reads took.
func (e *end) patience() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tooks < tookLeast {
		return hedgeFirst
	}
	all := slices.Clone(e.took[:min(e.tooks, tookKept)])
	slices.Sort(all)
	return max(all[len(all)*19/20]*5/4, hedgeLeast)
}

// measure counts a request that began at start and was served for so long.
func (e *end) measure(start time.Time, served time.Duration) {
	d := time.Since(start)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.took[e.tooks%tookKept] = d
	e.tooks++
	rtt := max(d-served, 1)
	if e.rtt == 0 {
		e.rtt = rtt
	}
	e.rtt += (rtt - e.rtt) / 8
}

// rest has others asked first.
func (e *end) rest(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resting = time.Now().Add(d)
}

// asking is a stream to a holder.
type asking struct {
	e      *end
	l      *duplex
	memory run // of the holder, of this program's writes

	mu    sync.Mutex
	calls map[uint64]*call
	heard time.Time
}

// open gives the stream, which it opens if there is none.
func (e *end) open(ctx context.Context) (*asking, error) {
	e.mu.Lock()
	if s := e.session; s != nil && s.l.ctx.Err() == nil {
		e.mu.Unlock()
		return s, nil
	}
	wait := e.dialing
	if wait == nil {
		wait = make(chan struct{})
		e.dialing = wait
		e.x.f.goDo(func() { e.dial(wait) })
	}
	e.mu.Unlock()
	select {
	case <-wait:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.x.f.ctx.Done():
		return nil, ErrClosed
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.session; s != nil && s.l.ctx.Err() == nil {
		return s, nil
	}
	if e.failed == nil {
		return nil, errLineEnded
	}
	return nil, e.failed
}

// dial opens a stream.
func (e *end) dial(done chan struct{}) {
	s, err := e.greet()
	e.mu.Lock()
	e.session, e.failed, e.dialing = s, err, nil
	if errors.Is(err, errUnable) {
		e.resting = time.Now().Add(restUnable)
	} else if err != nil {
		e.resting = time.Now().Add(restAfter)
	}
	e.mu.Unlock()
	close(done)
}

func (e *end) greet() (*asking, error) {
	f := e.x.f
	ctx, cancel := context.WithTimeout(f.ctx, stallTimeout)
	defer cancel()
	start := time.Now()
	stream, err := f.cfg.Transport.OpenStream(ctx, e.peer.id)
	if err != nil {
		return nil, err
	}
	c := newConn(f.ctx, stream, limits{})
	stop := c.watchContext(ctx)
	memory, err := openCalls(c, e.x.run)
	stop()
	if err != nil {
		c.close(err)
		return nil, err
	}
	c.duplex = true
	c.patience(0)
	s := &asking{e: e, l: newDuplex(f.ctx, c), memory: memory, calls: map[uint64]*call{}, heard: time.Now()}
	e.mu.Lock()
	if e.rtt == 0 {
		e.rtt = time.Since(start)
	}
	e.mu.Unlock()
	f.goDo(s.l.write)
	f.goDo(s.run)
	return s, nil
}

// openCalls exchanges the openings.
func openCalls(c *conn, self run) (memory run, err error) {
	if err := c.send(frameCall, appendCall(nil, 0, self)); err != nil {
		return memory, err
	}
	if err := c.flush(); err != nil {
		return memory, err
	}
	kind, err := c.next()
	switch {
	case errors.Is(err, io.EOF):
		return memory, errUnable
	case err != nil:
		return memory, err
	case kind != frameReady || c.size > openMax:
		return memory, fmt.Errorf("%w: frame of kind %d and %d bytes in place of an opening", errProtocol, kind, c.size)
	}
	b, err := c.payload()
	if err != nil {
		return memory, err
	}
	return decodeCall(b)
}

// run reads answers until the stream ends, and ends with it the calls that wait.
func (s *asking) run() {
	defer context.AfterFunc(s.l.ctx, func() { s.l.c.close(errLineEnded) })()
	err := s.l.read(s.frame)
	s.mu.Lock()
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	for _, c := range calls {
		c.fail(fmt.Errorf("%w: %w", errBroken, err))
	}
	if err != nil && errors.Is(err, errProtocol) {
		s.e.x.f.mesh.complain(s.e.peer.id, "an answer of a holder is bad", err)
	}
}

func (s *asking) frame(kind byte, b []byte) error {
	var id uint64
	var part []byte
	var o outcome
	var err error
	switch kind {
	case framePart:
		id, part, err = decodePart(b)
	case frameDone:
		o, err = decodeOutcome(b)
		id = o.id
	default:
		return nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.heard = time.Now()
	c := s.calls[id]
	if kind == frameDone {
		delete(s.calls, id)
	}
	s.mu.Unlock()
	switch {
	case c == nil:
		return nil // nobody wants it any more
	case kind == frameDone:
		c.done(&o)
		return nil
	}
	return c.part(part)
}

// call is a request under way.
type call struct {
	s  *asking
	id uint64

	mu    sync.Mutex
	parts []byte
	owing int // bytes that were taken, and of which the holder does not know
	out   *outcome
	err   error
	news  signal
}

// begin sends a request. The call is to be cancelled or read to its end.
func (s *asking) begin(ctx context.Context, q *Request, id uint64, flags byte, lowest uint64) (*call, error) {
	c := &call{s: s, id: id}
	s.mu.Lock()
	if s.calls == nil {
		s.mu.Unlock()
		return nil, errLineEnded
	}
	if len(s.calls) >= servedEach {
		s.mu.Unlock()
		return nil, fmt.Errorf("%w: %d requests are under way to the holder", ErrTooManyWaiters, servedEach)
	}
	s.calls[id] = c
	s.mu.Unlock()
	out := request{id: id, flags: flags, lowest: lowest, region: q.Region, service: q.Service, token: joinTokens(q.After, s.e.x.owed(q.Region, s.e.peer.id)), body: q.Body}
	if until, ok := ctx.Deadline(); ok && !q.Lasts {
		out.timeout = min(max(time.Until(until), time.Millisecond), remoteTimeMax)
	}
	if err := s.l.put(ctx, frameRequest, out.append(make([]byte, 0, len(q.Body)+len(out.token)+len(q.Region)+64))); err != nil {
		s.forget(c)
		return nil, err
	}
	return c, nil
}

// joinTokens gives a token of all that two have; a alone where that is too long.
func joinTokens(a, b string) string {
	if a == "" || b == "" {
		return cmp.Or(a, b)
	}
	x, err := ParseToken(a)
	y, failed := ParseToken(b)
	if err == nil && failed == nil {
		x, err = x.Merge(y)
	}
	if both := x.String(); err == nil && failed == nil && len(both) <= remoteTokenMax {
		return both
	}
	return a
}

func (s *asking) forget(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[c.id] == c {
		delete(s.calls, c.id)
	}
}

func (c *call) part(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.parts)+len(b) > remoteWindow {
		return fmt.Errorf("%w: more of an answer than was asked for", errProtocol)
	}
	c.parts = append(c.parts, b...)
	c.news.raise()
	return nil
}

func (c *call) done(o *outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = o
	c.news.raise()
}

func (c *call) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil && c.err == nil {
		c.err = err
	}
	c.news.raise()
}

func (c *call) ended() *outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out
}

// cancel gives the call up: who reads is told err.
func (c *call) cancel(err error) {
	c.mu.Lock()
	over := c.out != nil || c.err != nil
	if !over {
		c.err = err
	}
	c.news.raise()
	c.mu.Unlock()
	if !over {
		c.s.forget(c)
		c.s.l.say(frameCancel, appendNumbers(nil, c.id))
	}
}

// begun waits for the first bytes of the answer, or for its end.
func (c *call) begun(ctx context.Context) error {
	for {
		next := c.news.next()
		c.mu.Lock()
		some, out, err := len(c.parts) > 0, c.out, c.err
		c.mu.Unlock()
		switch {
		case some:
			return nil
		case out != nil:
			return out.fault()
		case err != nil:
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fault is the error that a status stands for.
func (o *outcome) fault() error {
	switch o.status {
	case statusOK:
		return nil
	case statusNotHeld:
		return ErrNotHeld
	case statusDoubt:
		return fmt.Errorf("%w: %s", ErrUncertain, o.detail)
	case statusFailed:
		return &failedError{o.detail}
	}
	return fmt.Errorf("fabric: the holder refuses: %s", o.detail)
}

// read gives what came, and lets as much come again.
func (c *call) read(b []byte) (int, error) {
	for {
		next := c.news.next()
		c.mu.Lock()
		n := copy(b, c.parts)
		c.parts = c.parts[n:]
		c.owing += n
		more := 0
		if c.out == nil && c.owing >= remoteWindow/4 {
			more, c.owing = c.owing, 0
		}
		out, err := c.out, c.err
		c.mu.Unlock()
		if more > 0 && err == nil {
			c.s.l.say(frameMore, appendNumbers(nil, c.id, uint64(more)))
		}
		switch {
		case n > 0 || len(b) == 0:
			return n, nil
		case out != nil:
			if err := out.fault(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		case err != nil:
			return 0, err
		}
		<-next // the call's end raises it, and cancel
	}
}

// nextID gives the id of a new request; a write is under way until over is called.
func (e *end) nextID(write bool) (id, lowest uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids++
	if write {
		e.calls[e.ids] = struct{}{}
	}
	lowest = e.ids
	for other := range e.calls {
		lowest = min(lowest, other)
	}
	return e.ids, lowest
}

func (e *end) over(id uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.calls, id)
}

// ask asks the holder, and returns when it begins to answer.
func (e *end) ask(ctx context.Context, q *Request) (*Reply, error) {
	s, err := e.open(ctx)
	if err != nil {
		return nil, err
	}
	id, lowest := e.nextID(false)
	flags := byte(0)
	if q.Lasts {
		flags = requestLasts
	}
	start := time.Now()
	c, err := s.begin(ctx, q, id, flags, lowest)
	if err != nil {
		return nil, err
	}
	if err := c.begun(ctx); err != nil {
		c.cancel(errBroken)
		s.suspect(err)
		return nil, fmt.Errorf("%s: %w", e.who().label(), err)
	}
	return &Reply{c: c, e: e, start: start}, nil
}

// label names a holder in errors.
func (h Holder) label() string {
	if h.Name != "" {
		return h.Name
	}
	return string(h.ID)
}

// suspect gives up a stream on which nothing comes any more.
func (s *asking) suspect(err error) {
	s.mu.Lock()
	silent := time.Since(s.heard)
	s.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) && silent > silentTooMax {
		s.l.cancel(errLineEnded)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errBroken) {
		s.e.rest(restAfter)
	}
}

// write has the holder do a write, and asks again, of it alone, when the stream breaks. An error other than ErrUncertain says that nothing was done.
func (e *end) write(ctx context.Context, q *Request) ([]byte, Source, error) {
	s, err := e.open(ctx)
	if err != nil {
		return nil, Source{}, err
	}
	id, lowest := e.nextID(true)
	defer e.over(id)
	start, memory := time.Now(), s.memory
	src := func() Source { return Source{Holder: e.who(), Took: time.Since(start)} }
	flags := byte(requestWrites)
	for {
		b, o, sent, err := s.doWrite(ctx, q, id, flags, lowest)
		switch {
		case err == nil && o.status == statusOK:
			e.measure(start, o.served)
			e.x.remember(q.Region, e.peer.id, o.token)
			out := src()
			out.of(o)
			out.Token = o.token
			return b, out, nil
		case err == nil:
			return nil, src(), fmt.Errorf("%s: %w", e.who().label(), o.fault())
		case !sent && flags&requestAgain == 0:
			return nil, src(), err
		case ctx.Err() != nil || e.x.f.ctx.Err() != nil:
			s.suspect(err)
			return nil, src(), fmt.Errorf("%w: %s: %w", ErrUncertain, e.who().label(), err)
		}
		flags |= requestAgain
		for s = nil; s == nil; {
			if !sleep(ctx, repeatEvery) {
				return nil, src(), fmt.Errorf("%w: %s cannot be reached any more: %w", ErrUncertain, e.who().label(), err)
			}
			s, err = e.open(ctx) // nil after an error
		}
		if s.memory != memory {
			return nil, src(), fmt.Errorf("%w: %s has begun anew", ErrUncertain, e.who().label())
		}
	}
}

// doWrite asks once. sent says that the holder may have got it.
func (s *asking) doWrite(ctx context.Context, q *Request, id uint64, flags byte, lowest uint64) (b []byte, o *outcome, sent bool, err error) {
	c, err := s.begin(ctx, q, id, flags, lowest)
	if err != nil {
		return nil, nil, false, err
	}
	defer c.cancel(errBroken)
	defer context.AfterFunc(ctx, func() { c.cancel(ctx.Err()) })()
	for {
		var part [partMax]byte
		n, err := c.read(part[:])
		if b = append(b, part[:n]...); len(b) > answerMax {
			return nil, nil, true, fmt.Errorf("%w: an answer of more than %d bytes", ErrTooLarge, answerMax)
		}
		if o := c.ended(); o != nil && err != nil {
			return b, o, true, nil
		}
		if err != nil {
			return nil, nil, true, err
		}
	}
}

// isUp says whether a peer is connected.
func (m *mesh) isUp(p *peer) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return p.cancel != nil
}
