package fabric

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// A node without a copy of a region asks a holder: the cheapest that is connected, by measured round trips (holderline.go). Reads that take
// longer than most are asked of a second one, too, and go to the next when one fails. A write is asked of one, and asked again only of that
// one, by its id, which it remembers (deeds.go). A holder answers from its own replica or not at all: no request is passed on.
//
//	package client, RESP, HTTP ── Ask ──▶ line to a holder ══ stream ══▶ desk ── Handler ──▶ its replica
//	                               └────▶ line to another, later

var (
	// ErrNoHolder says that a region has no copy here and no holder of it answers. It is a *NoHolderError.
	ErrNoHolder = errors.New("fabric: no holder of the region answers")
	// ErrUncertain says that a write was sent to a holder, and that it is not known whether it was done.
	ErrUncertain = errors.New("fabric: it is not known whether the write was done")
)

// NoHolderError says who holds a region that could not be reached.
type NoHolderError struct {
	Region  string
	Holders []Holder // that are known
	Cause   error    // what the last one that was asked said; nil: none is connected
}

// Error names the region, some of its holders and what the last one said.
func (e *NoHolderError) Error() string {
	names := make([]string, 0, namedHoldersMax+1)
	for i, h := range e.Holders {
		if i == namedHoldersMax {
			names = append(names, fmt.Sprintf("%d more", len(e.Holders)-i))
			break
		}
		names = append(names, h.label())
	}
	if len(names) == 0 {
		names = append(names, "none is known")
	}
	text := fmt.Sprintf("%v: region %q has no copy here; holders: %s", ErrNoHolder, e.Region, strings.Join(names, ", "))
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// namedHoldersMax is how many an error names.
const namedHoldersMax = 5

// Is makes it an ErrNoHolder.
func (e *NoHolderError) Is(target error) bool { return target == ErrNoHolder }

// Unwrap gives what the last holder said.
func (e *NoHolderError) Unwrap() error { return e.Cause }

// Request is what a holder is asked.
type Request struct {
	Region  string
	Service string // whose Handler answers
	Body    []byte // up to MaxRequest bytes
	Write   bool   // it may change something: it is done once or not at all, or the answer is ErrUncertain
	After   string // a token: what the holder is to have, or Source.Missing says how much of that it lacks
	Lasts   bool   // a read whose answer has no end: it has no time limit, and goes to one holder
}

// Source says who answered, and how much of the region it has.
type Source struct {
	Holder  Holder
	Took    time.Duration
	UpTo    time.Time // when everything had come to the holder that nodes had; zero: nothing can be said. RegionStatus.Complete there
	Dark    int       // nodes that the holder has not heard of for long
	Missing uint64    // writes that this node made through other holders, or that Request.After has, and that this one has not seen
	Token   string    // of what the holder had after a write; empty: it has too many origins to tell
}

// How long a request takes at most.
const (
	askTime     = 10 * time.Second // where the context has no end
	askTriesMax = 3                // of a read whose answer breaks off
)

// Ask has a holder of a region answer, whose answer it gives as a whole; at most of answerMax bytes. It takes as long as ctx allows, 10 s where that
// has no end, a write at most a minute. Errors: ErrNoHolder, of a write before anything was done; ErrUncertain, of a write; ErrTooLarge; ErrClosed; else what the holder's Handler said.
func (f *Fabric) Ask(ctx context.Context, q Request) ([]byte, Source, error) {
	if _, ends := ctx.Deadline(); !ends || q.Write {
		limit := askTime
		if ends {
			limit = writeTimeMax
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if err := f.queue.first(ctx, q.Region); err != nil {
		return nil, Source{}, err
	}
	if q.Write {
		return f.remotes.askWrite(ctx, &q)
	}
	for n := 1; ; n++ {
		a, err := f.remotes.ask(ctx, &q)
		if err != nil {
			return nil, Source{}, err
		}
		b, err := a.all()
		if err == nil || n == askTriesMax || ctx.Err() != nil || !errors.Is(err, errBroken) {
			return b, a.Source(), err
		}
	}
}

// Open has a holder answer a request that writes nothing, and gives its answer as it comes; close it. It returns when the holder has begun to answer. An answer that
// breaks off ends with an error. Errors: as Ask, and later by Read.
func (f *Fabric) Open(ctx context.Context, q Request) (*Reply, error) {
	if q.Write {
		return nil, errors.New("fabric: Open is for reads")
	}
	if err := f.queue.first(ctx, q.Region); err != nil {
		return nil, err
	}
	return f.remotes.ask(ctx, &q)
}

// remotes are the streams to and from others for what is asked of regions.
type remotes struct {
	f     *Fabric
	run   run
	deeds deeds
	fresh freshness

	mu                    sync.Mutex
	closed                bool
	services              map[string]*serving
	under, bytes, lasting int // of others' requests
	answers               int // bytes, see keep
	ends                  map[crdt.NodeID]*end
	wrote                 map[string]wroteAt
	held                  map[string]heldBy
	count                 RemoteStats
}

// RemoteStats counts what was asked since Open.
type RemoteStats struct {
	Asked     uint64 `json:"asked"`     // of other nodes, about regions that are not held here
	Hedged    uint64 `json:"hedged"`    // reads that were asked of a second holder
	Unreached uint64 `json:"unreached"` // requests that no holder answered
	Uncertain uint64 `json:"uncertain"` // writes of which it is not known whether they were done
	Served    uint64 `json:"served"`    // of others, here
}

// RemoteStats gives the counters.
func (f *Fabric) RemoteStats() RemoteStats {
	f.remotes.mu.Lock()
	defer f.remotes.mu.Unlock()
	return f.remotes.count
}

func (x *remotes) note(counter *uint64) {
	x.mu.Lock()
	*counter++
	x.mu.Unlock()
}

// wroteAt says through whom this node wrote to a region last, and what that holder had then. Another one that is asked is to have that, too.
type wroteAt struct {
	holder crdt.NodeID
	token  string
	at     time.Time
}

const (
	wroteFor = time.Minute
	wroteMax = 1024 // regions
)

func newRemotes(f *Fabric) *remotes {
	return &remotes{f: f, run: newRun(), deeds: deeds{askers: map[askerID]*asker{}}, services: map[string]*serving{}, ends: map[crdt.NodeID]*end{}, wrote: map[string]wroteAt{}, held: map[string]heldBy{}}
}

func newRun() (r run) {
	_, _ = rand.Read(r[:]) // it never fails
	return r
}

// tick is called once a second.
func (x *remotes) tick(now time.Time) {
	x.deeds.tick(now)
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, w := range x.wrote {
		if now.Sub(w.at) >= wroteFor {
			delete(x.wrote, name)
		}
	}
}

// remember notes what a holder had after a write through it.
func (x *remotes) remember(region string, holder crdt.NodeID, token string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if token == "" || len(x.wrote) >= wroteMax && x.wrote[region].holder == "" {
		delete(x.wrote, region)
		return
	}
	x.wrote[region] = wroteAt{holder, token, time.Now()}
}

// owed is the token that a holder is to have.
func (x *remotes) owed(region string, holder crdt.NodeID) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if w, ok := x.wrote[region]; ok && w.holder != holder {
		return w.token
	}
	return ""
}

// heldFor is how long the holders of a region are remembered: to look them up takes time in proportion to the members.
const (
	heldFor = 100 * time.Millisecond
	heldMax = 1024 // regions
)

type heldBy struct {
	list []Holder
	at   time.Time
}

func (x *remotes) holders(region string, now time.Time) []Holder {
	x.mu.Lock()
	h, ok := x.held[region]
	x.mu.Unlock()
	if ok && now.Sub(h.at) < heldFor {
		return h.list
	}
	list := x.f.Holders(region)
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.held) >= heldMax {
		clear(x.held)
	}
	x.held[region] = heldBy{list, now}
	return list
}

// candidates are the connected holders of a region, the cheapest first, and who else holds it.
func (x *remotes) candidates(region string) (near []*end, all []Holder) {
	now := time.Now()
	for _, h := range x.holders(region, now) {
		if h.ID == x.f.cfg.Node {
			continue
		}
		all = append(all, h)
		p := x.f.mesh.peer(h.ID)
		if p == nil || !x.f.mesh.isUp(p) {
			continue
		}
		x.mu.Lock()
		e := x.ends[h.ID]
		if e == nil {
			e = &end{x: x, peer: p, calls: map[uint64]struct{}{}}
			x.ends[h.ID] = e
		}
		x.mu.Unlock()
		e.mu.Lock()
		e.holder = h
		e.mu.Unlock()
		near = append(near, e)
	}
	costs := map[*end]time.Duration{}
	for _, e := range near {
		costs[e] = e.cost(now)
	}
	slices.SortStableFunc(near, func(a, b *end) int { return cmp.Compare(costs[a], costs[b]) })
	return near, all
}

// unreached is the error of a request that no holder answered.
func (x *remotes) unreached(q *Request, all []Holder, cause error) error {
	x.note(&x.count.Unreached)
	if x.f.ctx.Err() != nil {
		return ErrClosed
	}
	return &NoHolderError{Region: q.Region, Holders: all, Cause: cause}
}

// enter begins to ask: the fabric's Close ends that, and waits for it.
func (x *remotes) enter(ctx context.Context) (in context.Context, leave func(), err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, nil, ErrClosed
	}
	x.f.wg.Add(1)
	in, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(x.f.ctx, cancel)
	return in, func() { stop(); cancel(); x.f.wg.Done() }, nil
}

// close refuses what is asked from now on.
func (x *remotes) close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
}

// attempt is what one holder said.
type attempt struct {
	reply *Reply
	err   error
}

// ask asks holders until one begins to answer.
func (x *remotes) ask(ctx context.Context, q *Request) (*Reply, error) {
	if len(q.Body) > MaxRequest {
		return nil, fmt.Errorf("%w: a request of %d bytes, limit %d", ErrTooLarge, len(q.Body), MaxRequest)
	}
	in, leave, err := x.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	x.note(&x.count.Asked)
	for n := 1; ; n++ {
		r, err := x.askAny(in, q)
		if err == nil { // it lasts for as long as the caller's
			r.stop = context.AfterFunc(ctx, func() { r.c.cancel(ctx.Err()) })
		}
		if err == nil || n == askTriesMax || !errors.Is(err, errBroken) || !sleep(in, repeatEvery) {
			return r, err
		}
	}
}

// askAny asks each holder once at most.
func (x *remotes) askAny(ctx context.Context, q *Request) (*Reply, error) {
	near, all := x.candidates(q.Region)
	if len(near) == 0 {
		return nil, x.unreached(q, all, nil)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()                        // of those that were asked, too
	came := make(chan attempt, len(near)) // each says one word
	next, under := 0, 0
	begin := func() {
		e := near[next]
		next++
		under++
		x.f.goDo(func() {
			r, err := e.ask(ctx, q)
			came <- attempt{r, err}
		})
	}
	begin()
	hedge := time.NewTimer(near[0].patience())
	defer hedge.Stop()
	var last error
	for {
		select {
		case a := <-came:
			under--
			switch {
			case a.err == nil:
				x.sweep(came, under)
				return a.reply, nil
			case under == 0 && next == len(near) || final(a.err):
				x.sweep(came, under)
				if final(a.err) {
					return nil, a.err
				}
				return nil, x.unreached(q, all, a.err)
			}
			if last = a.err; next < len(near) {
				begin()
			}
		case <-hedge.C:
			if next < len(near) && !q.Lasts {
				x.note(&x.count.Hedged)
				begin()
			}
		case <-ctx.Done():
			x.sweep(came, under)
			return nil, x.unreached(q, all, errors.Join(last, ctx.Err()))
		}
	}
}

// sweep closes the replies of those that were asked, too.
func (x *remotes) sweep(came chan attempt, under int) {
	if under == 0 {
		return
	}
	x.f.goDo(func() {
		for range under {
			if a := <-came; a.reply != nil {
				a.reply.Close()
			}
		}
	})
}

// final says that another holder would answer no better.
func final(err error) bool {
	var failed *failedError
	return errors.As(err, &failed) || errors.Is(err, ErrTooLarge)
}

// failedError is what a Handler said.
type failedError struct{ detail string }

func (e *failedError) Error() string { return e.detail }

// askWrite has one holder do a write.
func (x *remotes) askWrite(ctx context.Context, q *Request) ([]byte, Source, error) {
	if len(q.Body) > MaxRequest {
		return nil, Source{}, fmt.Errorf("%w: a request of %d bytes, limit %d", ErrTooLarge, len(q.Body), MaxRequest)
	}
	ctx, leave, err := x.enter(ctx)
	if err != nil {
		return nil, Source{}, err
	}
	defer leave()
	x.note(&x.count.Asked)
	for n := 1; ; n++ {
		b, src, err := x.writeAny(ctx, q)
		if err == nil || n == askTriesMax || errors.Is(err, ErrUncertain) || !errors.Is(err, errBroken) || !sleep(ctx, repeatEvery) {
			return b, src, err
		}
	}
}

// writeAny asks each holder once at most, until one has got the request.
func (x *remotes) writeAny(ctx context.Context, q *Request) ([]byte, Source, error) {
	near, all := x.candidates(q.Region)
	var cause error
	for _, e := range near {
		b, src, err := e.write(ctx, q)
		switch {
		case err == nil:
			return b, src, nil
		case errors.Is(err, ErrUncertain):
			x.note(&x.count.Uncertain)
			return nil, src, err
		case final(err):
			return nil, src, err
		}
		cause = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, Source{}, x.unreached(q, all, cause)
}

// Reply is an answer under way. One goroutine reads it.
type Reply struct {
	c     *call
	e     *end
	start time.Time
	stop  func() bool
}

// errBroken says that an answer ended before it was complete.
var errBroken = errors.New("fabric: the answer of a holder broke off")

// Read gives the answer as it comes; io.EOF at its end.
func (r *Reply) Read(b []byte) (int, error) { return r.c.read(b) }

// Source says who answers; what else it says stands when Read has given io.EOF.
func (r *Reply) Source() Source {
	s := Source{Holder: r.e.who(), Took: time.Since(r.start)}
	if o := r.c.ended(); o != nil {
		s.of(o)
	}
	return s
}

func (s *Source) of(o *outcome) {
	s.Dark, s.Missing = int(o.dark), o.missing
	if o.upTo > 0 {
		s.UpTo = time.UnixMilli(o.upTo).UTC()
	}
}

// Close ends the answer.
func (r *Reply) Close() {
	if r.stop != nil {
		r.stop()
	}
	r.c.cancel(errBroken)
}

// all reads the answer to its end.
func (r *Reply) all() ([]byte, error) {
	defer r.Close()
	var b bytes.Buffer
	_, err := io.Copy(&b, io.LimitReader(r, answerMax+1))
	if err == nil && b.Len() > answerMax {
		err = fmt.Errorf("%w: an answer of more than %d bytes", ErrTooLarge, answerMax)
	}
	if o := r.c.ended(); o != nil {
		r.e.measure(r.start, o.served)
	}
	return b.Bytes(), err
}

// freshness remembers for a moment how complete regions are: looking it up takes time in proportion to the members.
type freshness struct {
	mu    sync.Mutex
	since time.Time
	known map[*Region]outcome
}

const (
	freshFor = 250 * time.Millisecond
	freshMax = 256 // regions
)

func (x *freshness) of(r *Region, now time.Time) (upTo int64, dark uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.known == nil || now.Sub(x.since) > freshFor || len(x.known) >= freshMax {
		x.known, x.since = map[*Region]outcome{}, now
	}
	o, ok := x.known[r]
	if !ok {
		if s, err := r.f.RegionStatus(r.name); err == nil {
			o.dark = uint64(len(s.Complete.Dark))
			if !s.Complete.UpTo.IsZero() {
				o.upTo = s.Complete.UpTo.UnixMilli()
			}
		}
		x.known[r] = o
	}
	return o.upTo, o.dark
}
