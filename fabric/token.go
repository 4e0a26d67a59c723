package fabric

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

var (
	// ErrStale answers who asked for a state that this node has not reached in time. It is a *StaleError, which says what is missing.
	ErrStale = errors.New("fabric: stale")
	// ErrToken refuses a token or a cursor that is none, or is of another region.
	ErrToken = errors.New("fabric: bad token")
	// ErrTooManyWaiters refuses to wait: so many calls wait already.
	ErrTooManyWaiters = errors.New("fabric: too many calls wait")
)

// StaleError says how much was missing when a call gave up.
type StaleError struct {
	Region  string
	Missing uint64        // writes that the token has seen and this replica has not
	Holders int           // members that are known to have what the token has seen; of WaitFor and Release
	Wanted  int           // of them
	Silent  []crdt.NodeID // connected members that did not answer; of Acquire
}

// Error names the region and what is missing.
func (e *StaleError) Error() string {
	switch {
	case e.Wanted > 0:
		return fmt.Sprintf("%v: region %q: %d of %d members are known to have it", ErrStale, e.Region, e.Holders, e.Wanted)
	case len(e.Silent) > 0:
		return fmt.Sprintf("%v: region %q: no answer from %v", ErrStale, e.Region, e.Silent)
	}
	return fmt.Sprintf("%v: region %q: %d writes are missing here", ErrStale, e.Region, e.Missing)
}

// Is makes it an ErrStale.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// Token says what a session has seen of a region: a causal context. A session that gives the token of its last call to its
// next one, at whatever node, reads its own writes and never reads an older state than before, and its writes
// cover what it read, since a write covers what its node has. The zero Token has seen nothing, of any region.
type Token struct {
	region crdt.RegionID
	seen   crdt.Context
}

// maxTokenBytes bounds tokens and cursors: some 2,500 origins.
const maxTokenBytes = 64 << 10

const tokenVersion = 1

// String is the token as text without spaces that ParseToken reads, some 25 characters for each origin that writes and 25 more.
func (t Token) String() string {
	if t.seen == nil {
		return ""
	}
	return sealText(tokenVersion, t.region, crdt.EncodeContext(t.seen))
}

// ParseToken reads a Token's String. Error: ErrToken.
func ParseToken(text string) (t Token, err error) {
	if text == "" {
		return Token{}, nil
	}
	id, body, err := openText(tokenVersion, text)
	if err != nil {
		return Token{}, err
	}
	if t.seen, err = crdt.DecodeContext(body); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	t.region = id
	return t, nil
}

// sealText makes text of a version, a region and what follows.
func sealText(version byte, id crdt.RegionID, body []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(append([]byte{version}, id[:]...), body...))
}

func openText(version byte, text string) (id crdt.RegionID, body []byte, err error) {
	if len(text) > maxTokenBytes {
		return id, nil, fmt.Errorf("%w: %d bytes, limit %d", ErrToken, len(text), maxTokenBytes)
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	switch {
	case err != nil:
		return id, nil, fmt.Errorf("%w: %w", ErrToken, err)
	case len(b) < 1+len(id):
		return id, nil, fmt.Errorf("%w: it ends early", ErrToken)
	case b[0] != version:
		return id, nil, fmt.Errorf("%w: version %d, this program reads %d", ErrToken, b[0], version)
	}
	copy(id[:], b[1:])
	return id, b[1+len(id):], nil
}

// Merge gives what either has seen: of a session that used two nodes at once. Error: ErrToken, for tokens of different regions.
func (t Token) Merge(o Token) (Token, error) {
	switch {
	case o.seen == nil:
		return t, nil
	case t.seen == nil:
		return o, nil
	case t.region != o.region:
		return t, fmt.Errorf("%w: of different regions", ErrToken)
	}
	both := t.seen.Clone()
	both.Union(o.seen)
	return Token{t.region, both}, nil
}

// Token gives what this replica has seen by now; nothing, where this node has no copy.
func (r *Region) Token() Token {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return Token{r.id, r.core.Context()}
}

// missing counts what the token has seen and this replica has not; none if it covers the token.
func (r *Region) missing(t Token) (n uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.core.Covers(t.seen) {
		return 0
	}
	return max(1, r.core.Context().Missing(t.seen))
}

func (r *Region) check(t Token) error {
	if err := r.notHeld(); err != nil {
		return err
	}
	if t.seen != nil && t.region != r.id {
		return fmt.Errorf("%w: it is of another region than %q", ErrToken, r.name)
	}
	return nil
}

// At returns when this replica has seen all that the token has, and asks the connected members for it meanwhile. What is read afterwards
// is no older than the token. Errors: a *StaleError when ctx ends first, *NotHeldError, ErrToken, ErrTooManyWaiters, ErrClosed.
func (r *Region) At(ctx context.Context, t Token) error {
	if err := r.check(t); err != nil || r.missing(t) == 0 {
		return err
	}
	leave, err := r.f.wait()
	if err != nil {
		return err
	}
	defer leave()
	for {
		next := r.changes.next()
		if err := r.notHeld(); err != nil {
			return err
		}
		n := r.missing(t)
		if n == 0 {
			return nil
		}
		r.f.urge()
		select {
		case <-next:
		case <-ctx.Done():
			return &StaleError{Region: r.name, Missing: n}
		case <-r.f.ctx.Done():
			return ErrClosed
		}
	}
}

// AckedBy is a number of members, this node not counted.
type AckedBy int

// How calls wait for what other members have seen, of which this node hears when it exchanges fingerprints with them.
const (
	ackStep = 20 * time.Millisecond
	urgeGap = 50 * time.Millisecond
	// waitersMax bounds the calls that wait at once.
	waitersMax = 4096
)

func (f *Fabric) wait() (leave func(), err error) {
	if f.waiting.Add(1) > waitersMax {
		f.waiting.Add(-1)
		return nil, ErrTooManyWaiters
	}
	return func() { f.waiting.Add(-1) }, nil
}

// urge asks all connected members whether they are in step, once in urgeGap however many wait.
func (f *Fabric) urge() {
	now, last := time.Now().UnixNano(), f.urged.Load()
	if now-last < int64(urgeGap) || !f.urged.CompareAndSwap(last, now) {
		return
	}
	for _, p := range f.mesh.connected() {
		p.ask(becauseConnected)
	}
}

// WaitFor returns when n other members are known to have merged what the token has seen, into memory at least. It gives how many are. Errors: a
// *StaleError when ctx ends first, *NotHeldError, ErrToken, ErrTooManyWaiters, ErrClosed.
func (r *Region) WaitFor(ctx context.Context, t Token, n AckedBy) (holders int, err error) {
	if err := r.check(t); err != nil {
		return 0, err
	}
	if holders = r.holders(t); holders >= int(n) {
		return holders, nil
	}
	err = r.poll(ctx, func() bool {
		holders = r.holders(t)
		return holders >= int(n)
	})
	if errors.Is(err, ErrStale) {
		err = &StaleError{Region: r.name, Missing: r.missing(t), Holders: holders, Wanted: int(n)}
	}
	return holders, err
}

// poll asks the members and looks every ackStep whether it is done.
func (r *Region) poll(ctx context.Context, done func() bool) error {
	leave, err := r.f.wait()
	if err != nil {
		return err
	}
	defer leave()
	step := time.NewTicker(ackStep)
	defer step.Stop()
	for {
		r.f.urge()
		select {
		case <-step.C:
			if done() {
				return nil
			}
		case <-ctx.Done():
			return ErrStale
		case <-r.f.ctx.Done():
			return ErrClosed
		}
	}
}

// holders counts the members that are known to have merged what the token has seen.
func (r *Region) holders(t Token) (n int) {
	peers := r.f.mesh.known()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range peers {
		if k, ok := p.knows(r); ok && !k.part && k.context.Covers(t.seen) {
			n++
		}
	}
	return n
}

// Release returns when w other members are known to have merged all that this replica has seen by now (release consistency: whoever acquires
// from one of them sees it). It gives how many have. Errors: as WaitFor.
func (r *Region) Release(ctx context.Context, w AckedBy) (holders int, err error) {
	return r.WaitFor(ctx, r.Token(), w)
}

// Acquire returns when all that the connected members had seen of the region when it was called is here, and gives who they are: with
// none, nothing is promised. Errors: a *StaleError, which names the silent ones, when ctx ends first, *NotHeldError, ErrTooManyWaiters, ErrClosed.
func (r *Region) Acquire(ctx context.Context) (from []crdt.NodeID, err error) {
	if err := r.notHeld(); err != nil {
		return nil, err
	}
	began := r.f.cfg.Now()
	left := r.keeping(r.f.mesh.connected())
	for _, p := range left {
		from = append(from, p.id)
	}
	if len(left) == 0 {
		return nil, nil
	}
	err = r.poll(ctx, func() bool {
		left = r.behind(left, began)
		return len(left) == 0
	})
	if errors.Is(err, ErrStale) {
		stale := &StaleError{Region: r.name}
		for _, p := range left {
			stale.Silent = append(stale.Silent, p.id)
		}
		err = stale
	}
	return from, err
}

// behind gives those of the peers from whom something that they had at an instant may be missing here.
func (r *Region) behind(peers []*peer, at time.Time) (left []*peer) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ours := r.core.Context()
	for _, p := range peers {
		if k, ok := p.knows(r); !ok || k.completeTo(ours).Before(at) {
			left = append(left, p)
		}
	}
	return left
}
