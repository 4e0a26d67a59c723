package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric/lease"
)

// Sentinel errors of leases. The text around them names the lease, its holder or the voters that are missing.
var (
	ErrLeaseHeld  = errors.New("fabric: lease is held")
	ErrLeaseLost  = errors.New("fabric: lease was released, or somebody took it since")
	ErrNoMajority = errors.New("fabric: no majority of the voters")
	ErrNoVoters   = errors.New("fabric: nobody votes on leases: name the voters first")
	ErrBadLease   = errors.New("fabric: bad lease")
)

// LeaseInfo is a lease as a majority of the voters knows it.
type LeaseInfo struct {
	Region string
	Name   string
	Held   bool
	Owner  string        // what its last holder calls itself
	Token  uint64        // of the last holder; 0: nobody ever had it, or the voters forgot
	Left   time.Duration // of one's own, for how long it lasts at least; of others', at most
}

// LeaseHeldError is an ErrLeaseHeld that says by whom.
type LeaseHeldError struct{ LeaseInfo }

// Error names the lease, its holder and for how long it has it at most.
func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("%v: %q of region %s, by %q with token %d, for %v at most", ErrLeaseHeld, e.Name, e.Region, e.Owner, e.Token, e.Left.Round(time.Millisecond))
}

// Unwrap is ErrLeaseHeld.
func (e *LeaseHeldError) Unwrap() error { return ErrLeaseHeld }

// leaseNameMax bounds the name of a lease, bytes.
const leaseNameMax = 256

// Lease is a lease that this process acquired. Its Token is higher than those of all who held it before: who guards something with the lease stores the
// token beside it, and refuses older ones. It may be used by many goroutines.
type Lease struct {
	r     *Region
	name  string
	owner string
	token uint64

	mu    sync.Mutex
	asked time.Time // before the voters were asked
	lasts time.Duration
}

// AcquireLease takes a lease for ttl, lease.TTLMin to lease.TTLMax: nobody else gets it until ttl has passed or it is released. owner is what others are told
// of its holder, of up to lease.OwnerMax bytes. It waits for answers until ctx ends, 10 s at most, and not for the holder. Errors: a *LeaseHeldError, ErrNoMajority, which
// names who is missing, and after which the lease may be taken all the same until ttl is over, ErrNoVoters, ErrBadLease, ErrClosed, the context's.
func (r *Region) AcquireLease(ctx context.Context, name string, ttl time.Duration, owner string) (*Lease, error) {
	if len(owner) > lease.OwnerMax {
		return nil, fmt.Errorf("%w: its owner has %d bytes, at most %d", ErrBadLease, len(owner), lease.OwnerMax)
	}
	x, err := r.lease(ctx, lease.Proposal{Op: lease.Acquire, Owner: owner, TTL: ttl}, name)
	if err != nil {
		return nil, err
	}
	return &Lease{r: r, name: name, owner: owner, token: x.result.Value.Token, asked: x.asked, lasts: lease.Believe(ttl)}, nil
}

// RenewLease has a lease last for ttl from now on, for who acquired it with token. It may be late: as long as nobody took it since. Errors: ErrLeaseLost, and
// those of AcquireLease.
func (r *Region) RenewLease(ctx context.Context, name string, token uint64, ttl time.Duration) (LeaseInfo, error) {
	x, err := r.lease(ctx, lease.Proposal{Op: lease.Renew, Token: token, TTL: ttl}, name)
	return r.leaseInfo(name, x), err
}

// ReleaseLease gives a lease up, for who acquired it with token. Errors: as RenewLease.
func (r *Region) ReleaseLease(ctx context.Context, name string, token uint64) error {
	_, err := r.lease(ctx, lease.Proposal{Op: lease.Release, Token: token}, name)
	return err
}

// Lease tells who holds a lease, as a majority knows at the moment. Errors: ErrNoMajority, ErrNoVoters, ErrBadLease, ErrClosed, the context's.
func (r *Region) Lease(ctx context.Context, name string) (LeaseInfo, error) {
	x, err := r.lease(ctx, lease.Proposal{Op: lease.Look}, name)
	return r.leaseInfo(name, x), err
}

func (r *Region) leaseInfo(name string, x ballot) LeaseInfo {
	v := x.result.Value
	return LeaseInfo{Region: r.name, Name: name, Held: v.Held && x.result.Left > 0, Owner: v.Owner, Token: v.Token, Left: x.result.Left}
}

// lease runs one operation.
func (r *Region) lease(ctx context.Context, p lease.Proposal, name string) (ballot, error) {
	switch timed := p.Op == lease.Acquire || p.Op == lease.Renew; {
	case name == "" || len(name) > leaseNameMax:
		return ballot{}, fmt.Errorf("%w: a name of %d bytes: want 1 to %d", ErrBadLease, len(name), leaseNameMax)
	case timed && (p.TTL < lease.TTLMin || p.TTL > lease.TTLMax):
		return ballot{}, fmt.Errorf("%w: a time of %v: want %v to %v", ErrBadLease, p.TTL, lease.TTLMin, lease.TTLMax)
	case p.Op >= lease.Renew && p.Token == 0:
		return ballot{}, fmt.Errorf("%w: no token", ErrBadLease)
	}
	p.TTL = p.TTL.Truncate(time.Microsecond)
	p.Name = string(r.id[:]) + name
	x, err := r.f.leases.run(ctx, p)
	var held *heldError
	if errors.As(err, &held) {
		return x, &LeaseHeldError{r.leaseInfo(name, x)}
	}
	if err != nil {
		err = fmt.Errorf("lease %q of region %s: %w", name, r.name, err)
	}
	return x, err
}

// Token is the fencing token.
func (l *Lease) Token() uint64 { return l.token }

// Name is the lease's name.
func (l *Lease) Name() string { return l.name }

// Owner is what others are told of the holder.
func (l *Lease) Owner() string { return l.owner }

// Left is for how long the holder may count on the lease, 0 if no longer. It goes by whichever clock went further since the voters were asked: a machine
// that slept stops the one, who sets the time moves the other. A process that is stopped between this and what it does next is what tokens are for.
func (l *Lease) Left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	passed := max(now.Sub(l.asked), now.Round(0).Sub(l.asked.Round(0)))
	return max(l.lasts-passed, 0)
}

// Renew has the lease last for ttl from now on. Errors: as Region.RenewLease; after any but ErrLeaseLost it lasts as long as it did.
func (l *Lease) Renew(ctx context.Context, ttl time.Duration) error {
	x, err := l.r.lease(ctx, lease.Proposal{Op: lease.Renew, Token: l.token, TTL: ttl}, l.name)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, ErrLeaseLost):
		l.lasts = 0
	case err == nil && l.lasts > 0:
		l.asked, l.lasts = x.asked, lease.Believe(ttl)
	case err == nil:
		return fmt.Errorf("lease %q of region %s: %w", l.name, l.r.name, ErrLeaseLost) // Release came between
	}
	return err
}

// Release gives the lease up. The holder no longer counts on it, whatever comes of it. Errors: as Region.ReleaseLease.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	l.lasts = 0
	l.mu.Unlock()
	return l.r.ReleaseLease(ctx, l.name, l.token)
}

// Voters is who votes on leases.
type Voters struct {
	Epoch  uint64  // how often they were named; 0: never, as far as is known here
	Need   int     // so many are a majority
	Voters []Voter // by id
	Votes  bool    // this node has a vote
	Torn   bool    // two electorates were founded by halves of the fabric that knew nothing of each other: nobody votes here
}

// Voter is one of them.
type Voter struct {
	ID        crdt.NodeID
	Name      string
	Connected bool // or this node
}
