package fabric

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric/lease"
)

// Votes go over streams of their own, one question and one answer each; an earlier version closes such a stream, and counts as missing. A node asks
// another one thing at a time.
const (
	frameVote  = 48 // a lease.Request
	frameVoted = 49 // a lease.Reply

	voteMax      = 1 << 20          // bytes of either
	votePatience = 3 * time.Second  // for one question
	leaseTime    = 10 * time.Second // for an operation, where its caller has no less
	triesMax     = 50               // attempts of an operation that others outvote
)

// electorateKey is a key of the catalogue: a map of what is known of electorates. No region is called so.
const electorateKey = reservedPrefix + "electorate"

// privateStorage is a Storage that keeps a node's votes. Without one they last as long as the process: after a restart the node has none.
//
//	Private         gives what CommitPrivate kept. copied: it is that of another directory, of which this one is a copy
//	CommitPrivate   makes records durable, all or none; a nil Value removes
type privateStorage interface {
	Private(fn func(key, value []byte) error) (copied bool, err error)
	CommitPrivate(recs []crdt.Record) error
}

// leases is this node's part in the votes, and asks for those of others. Its locks come after the roster's; none is held while others are asked.
type leases struct {
	f     *Fabric
	began time.Time
	disk  privateStorage // or nil
	high  atomic.Uint64  // the highest number of a ballot that was met
	known atomic.Pointer[lease.Electorate]
	met   atomic.Bool // other voters since the start: see ready

	mu    sync.Mutex
	v     *lease.Voter // nil: to be loaded
	over  bool         // the node votes no more: another start may have its disk
	mem   map[string][]byte
	token Token // of the nodes' records, as of when this start's claim was among them

	lanesMu sync.Mutex
	lanes   map[crdt.NodeID]chan struct{} // capacity 1: who holds it asks the node
}

func newLeases(f *Fabric) *leases {
	l := &leases{f: f, began: time.Now(), mem: map[string][]byte{}, lanes: map[crdt.NodeID]chan struct{}{}}
	l.disk, _ = f.cfg.Storage.(privateStorage)
	l.known.Store(&lease.Electorate{})
	return l
}

// now is the clock of the voter.
func (l *leases) now() time.Duration { return time.Since(l.began) }

// open reads what the node promised before. Where that cannot be read the node goes on without a vote.
func (l *leases) open() (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err = l.load(); err == nil {
		return nil
	}
	l.f.cfg.Logger.Error("this node's votes on leases cannot be read: it has none until it is named as a voter again", "err", err)
	l.v, err = lease.NewVoter(l.f.cfg.Node, nil, l.now())
	return err
}

// close ends this node's votes.
func (l *leases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// load makes the voter from what is on disk. The caller holds mu.
func (l *leases) load() error {
	var recs []lease.Record
	copied := false
	var err error
	if l.disk != nil {
		copied, err = l.disk.Private(func(key, value []byte) error {
			recs = append(recs, lease.Record{Key: string(key), Value: slices.Clone(value)})
			return nil
		})
	} else {
		for key, value := range l.mem {
			recs = append(recs, lease.Record{Key: key, Value: value})
		}
	}
	if err != nil {
		return fmt.Errorf("fabric: votes: %w", err)
	}
	v, err := lease.NewVoter(l.f.cfg.Node, recs, l.now())
	if err != nil {
		return fmt.Errorf("fabric: votes: %w", err)
	}
	if copied {
		l.f.cfg.Logger.Warn("the data directory is a copy: this node has no vote on leases until it is named as a voter again")
		if err := l.save(v.Forfeit()); err != nil {
			return err
		}
	}
	l.v = v
	l.note()
	return nil
}

// note takes over what the voter knows. The caller holds mu.
func (l *leases) note() {
	e, _ := l.v.Known()
	if old := l.known.Load(); !e.Same(old) {
		l.known.Store(&e)
	}
}

// save makes records durable. After an error the voter is loaded anew: it must not know of promises that the disk does not. The caller holds mu.
func (l *leases) save(recs []lease.Record) error {
	if len(recs) == 0 {
		return nil
	}
	if l.disk == nil {
		for _, r := range recs {
			if r.Value == nil {
				delete(l.mem, r.Key)
			} else {
				l.mem[r.Key] = r.Value
			}
		}
		return nil
	}
	out := make([]crdt.Record, len(recs))
	for i, r := range recs {
		out[i] = crdt.Record{Key: []byte(r.Key), Value: r.Value}
	}
	if err := l.disk.CommitPrivate(out); err != nil {
		l.v = nil
		return fmt.Errorf("fabric: a vote is not on disk: %w", err)
	}
	return nil
}

// change runs a step of the voter, and returns when its records are durable.
func (l *leases) change(fn func(v *lease.Voter) []lease.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return ErrClosed
	}
	if l.v == nil {
		if err := l.load(); err != nil {
			return err
		}
	}
	v := l.v
	if err := l.save(fn(v)); err != nil {
		return err
	}
	l.note()
	return nil
}

// forfeit gives up the vote of a node of which there is another life, in the background: its disk may not hold what that promised.
func (l *leases) forfeit() {
	l.f.goDo(func() {
		if err := l.change(func(v *lease.Voter) []lease.Record { return v.Forfeit() }); err != nil && !l.f.closed.Load() {
			l.f.cfg.Logger.Error("this node's vote on leases cannot be given up", "err", err)
		}
	})
}

// learn takes over an electorate that was decided on.
func (l *leases) learn(e lease.Electorate, begin lease.Start) error {
	if e.Epoch == 0 || e.Same(l.known.Load()) {
		return nil
	}
	return l.change(func(v *lease.Voter) []lease.Record { return v.Learn(&e, begin, l.now()) })
}

// answer answers a request.
func (l *leases) answer(q *lease.Request) (r lease.Reply, err error) {
	switch q.Kind {
	case lease.Prepare, lease.Accept, lease.Propose, lease.Decide:
		if q.Epoch > 0 && !l.ready() {
			return lease.Reply{Status: lease.NotYet}, nil
		}
	}
	if len(q.Asked) > 0 && l.known.Load().Epoch == 0 {
		if who := l.strangers(q.Asked); who != "" {
			return lease.Reply{Status: lease.Stranger, Detail: who}, nil
		}
	}
	fresh := nonce()
	err = l.change(func(v *lease.Voter) (recs []lease.Record) {
		r, recs = v.Step(q, fresh, l.now())
		return recs
	})
	if err == nil && q.Kind == lease.Learn {
		l.publish()
	}
	return r, err
}

func nonce() (n lease.Nonce) {
	_, _ = rand.Read(n[:]) // it never fails
	return n
}

// strangers names the core members that this node knows and that are not in a list.
func (l *leases) strangers(list []crdt.NodeID) string {
	var out []string
	for _, id := range l.f.core() {
		if !slices.Contains(list, id) {
			out = append(out, l.f.mesh.called(id))
		}
	}
	return strings.Join(out, ", ")
}

// core lists the members of tier edge and above, and those of which the tier is not known, that are not retired, by id.
func (f *Fabric) core() (out []crdt.NodeID) {
	o := f.look()
	if f.cfg.Tier != tierDevice {
		out = append(out, o.self)
	}
	for i := range o.members {
		if m := &o.members[i]; m.tier != tierDevice && !m.retired() {
			out = append(out, m.id)
		}
	}
	slices.Sort(out)
	return out
}

// ready tells whether this node may vote: since it started it has heard all that enough other voters for a majority had heard of its node, and they have heard of
// this start. So a machine that was set back finds out, unless those who heard of the one life and of the other are apart.
func (l *leases) ready() bool {
	if l.met.Load() || l.f.cfg.Transport == nil {
		return true
	}
	e, r := l.known.Load(), l.f.roster.r
	if e.Need() <= 1 {
		return true
	}
	l.f.roster.owe()
	l.f.roster.wrote()
	l.mu.Lock()
	if l.token.seen == nil {
		l.token = r.Token()
	}
	seen := l.token.seen
	l.mu.Unlock()
	n := 1
	peers := l.f.mesh.known()
	r.mu.RLock()
	ours := r.core.Context()
	for _, m := range e.Voters {
		p := peers[m.Node]
		if p == nil {
			continue
		}
		if k, ok := p.knows(r); ok && !k.part && k.context.Covers(seen) && !k.completeTo(ours).Before(l.f.began) {
			n++
		}
	}
	r.mu.RUnlock()
	if n < e.Need() {
		l.f.urge()
		return false
	}
	l.met.Store(true)
	return true
}

// serve answers one question of a peer.
func (l *leases) serve(c *conn) error {
	kind, err := c.next()
	if err != nil || kind != frameVote || c.size > voteMax {
		return errors.Join(err, fmt.Errorf("%w: a question of %d bytes", errProtocol, c.size))
	}
	b, err := c.payload()
	if err != nil {
		return err
	}
	q, err := lease.DecodeRequest(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	r, err := l.answer(&q)
	if err != nil {
		return err
	}
	if err := c.send(frameVoted, r.Append(nil)); err != nil {
		return err
	}
	return c.flush()
}

var errApart = errors.New("no connection")

// ask asks one node, or this one.
func (l *leases) ask(ctx context.Context, id crdt.NodeID, q *lease.Request) (*lease.Reply, error) {
	if id == l.f.cfg.Node {
		r, err := l.answer(q)
		return &r, err
	}
	if _, up := l.f.mesh.upSince(id); !up {
		return nil, errApart
	}
	lane := l.lane(id)
	select {
	case lane <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-lane }()
	s, err := l.f.cfg.Transport.OpenStream(ctx, id)
	if err != nil {
		return nil, err
	}
	c := newConn(ctx, s, limits{})
	stop := c.watchContext(ctx)
	r, err := question(c, q)
	stop()
	c.close(err)
	return r, err
}

func question(c *conn, q *lease.Request) (*lease.Reply, error) {
	if err := c.send(frameVote, q.Append(nil)); err != nil {
		return nil, err
	}
	if err := c.flush(); err != nil {
		return nil, err
	}
	kind, err := c.next()
	if err != nil {
		return nil, err
	}
	if kind != frameVoted || c.size > voteMax {
		return nil, fmt.Errorf("%w: frame of kind %d and %d bytes instead of a vote", errProtocol, kind, c.size)
	}
	b, err := c.payload()
	if err != nil {
		return nil, err
	}
	r, err := lease.DecodeReply(b)
	return &r, err
}

func (l *leases) lane(id crdt.NodeID) chan struct{} {
	l.lanesMu.Lock()
	defer l.lanesMu.Unlock()
	if l.lanes[id] == nil {
		l.lanes[id] = make(chan struct{}, 1)
	}
	return l.lanes[id]
}

// consult asks nodes at once, and gives their answers to take as they come, until it says that it is over. Nothing of it runs when it returns.
func (l *leases) consult(ctx context.Context, nodes []crdt.NodeID, q *lease.Request, take func(id crdt.NodeID, r *lease.Reply, err error) (over bool)) {
	patient, cancel := context.WithTimeout(ctx, votePatience)
	defer cancel()
	defer context.AfterFunc(l.f.ctx, cancel)()
	type answer struct {
		id  crdt.NodeID
		r   *lease.Reply
		err error
	}
	answers := make(chan answer, len(nodes))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, id := range nodes {
		asking.Go(func() {
			r, err := l.ask(patient, id, q)
			if err != nil && patient.Err() != nil {
				err = fmt.Errorf("no answer in time")
			}
			answers <- answer{id, r, err}
		})
	}
	for range nodes {
		if a := <-answers; take(a.id, a.r, a.err) {
			return
		}
	}
}

// ballot is what an operation came to.
type ballot struct {
	result lease.Result
	asked  time.Time // before the voters were asked to accept
}

type heldError struct{}

func (*heldError) Error() string { return ErrLeaseHeld.Error() }

// run does an operation, as often as others come first.
func (l *leases) run(ctx context.Context, want lease.Proposal) (x ballot, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	p := want
	var tried []uint64 // ballots by which it may have been acquired without our knowing
	for try := 1; ; try++ {
		e := l.known.Load()
		switch {
		case l.f.closed.Load():
			return x, ErrClosed
		case e.Epoch == 0:
			return x, ErrNoVoters
		case try > triesMax:
			return x, fmt.Errorf("%w: others came first %d times", ErrNoMajority, triesMax)
		}
		p.Electorate, p.Ballot = *e, lease.Ballot{N: l.high.Load() + 1, By: nonce()}
		if p.Op == lease.Look {
			p.Ballot = lease.Ballot{}
		}
		attempt := p
		var no map[crdt.NodeID]string
		x, no = l.attempt(ctx, &attempt)
		if p.Op == lease.Acquire && attempt.Phase() == lease.Accept {
			tried = append(tried, p.Ballot.N)
		}
		l.meet(max(x.result.High, p.Ballot.N))
		switch x.result.Verdict {
		case lease.Granted:
			return x, nil
		case lease.Busy:
			if !slices.Contains(tried, x.result.Value.Token) {
				return x, &heldError{}
			}
			p.Op, p.Token = lease.Renew, x.result.Value.Token // it is ours
			continue
		case lease.Lost:
			if want.Op != lease.Acquire {
				return x, ErrLeaseLost
			}
			p = want
			continue
		case lease.Replaced:
			if err := l.learn(x.result.Known, x.result.Begin); err != nil {
				return x, err
			}
			continue
		case lease.Beaten:
		default:
			if err := l.short(e, &x, no); !starting(&x) || ctx.Err() != nil || try == triesMax {
				return x, err
			}
		}
		if !sleep(ctx, time.Duration(mrand.Int64N(int64(min(try, 10))*int64(20*time.Millisecond)))) {
			return x, fmt.Errorf("%w: %w", ErrNoMajority, context.Cause(ctx))
		}
	}
}

// starting tells whether voters are missing that will vote soon.
func starting(x *ballot) bool {
	for _, r := range x.result.No {
		if r.Status == lease.NotYet && r.Left == 0 {
			return true
		}
	}
	return false
}

// meet notes the number of a ballot, unless it can be none.
func (l *leases) meet(n uint64) {
	for {
		if old := l.high.Load(); n <= old || n-old > lease.BallotJump || l.high.CompareAndSwap(old, n) {
			return
		}
	}
}

// attempt makes one attempt. no tells who did not take part, and why.
func (l *leases) attempt(ctx context.Context, p *lease.Proposal) (x ballot, no map[crdt.NodeID]string) {
	voters := nodesOf(p.Electorate.Voters)
	q := p.Begin(l.now())
	for again := true; again; {
		again, no = false, map[crdt.NodeID]string{}
		asked := q
		l.consult(ctx, voters, &asked, func(id crdt.NodeID, r *lease.Reply, err error) bool {
			at := time.Now()
			switch {
			case err != nil:
				no[id] = err.Error()
				return false
			case r.Status != lease.OK:
				no[id] = r.Status.String()
			}
			if next := p.Take(id, asked.Kind, r, l.now()); next != nil {
				q, again, x.asked = *next, true, at
				return true
			}
			return p.Result().Verdict != lease.Open
		})
	}
	x.result = p.Result()
	return x, no
}

func nodesOf(members []lease.Member) []crdt.NodeID {
	out := make([]crdt.NodeID, len(members))
	for i, m := range members {
		out[i] = m.Node
	}
	return out
}

// short says which voters are missing.
func (l *leases) short(e *lease.Electorate, x *ballot, no map[crdt.NodeID]string) error {
	return fmt.Errorf("%w: %d of %d voters answered, %d are needed: %s", ErrNoMajority, len(e.Voters)-len(no), len(e.Voters), e.Need(), l.missing(no))
}

// missing names nodes, and why they did not take part.
func (l *leases) missing(no map[crdt.NodeID]string) string {
	names := l.f.nodeNames()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(no)) {
		out = append(out, cmp.Or(names[id], string(id))+": "+no[id])
	}
	return strings.Join(out, "; ")
}
