package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// Lease is a lease as a majority of the voters knows it.
type Lease struct {
	Held  bool
	Token uint64 // of its last holder; higher than all before it
	Owner string // what that calls itself
	// Until is when a lease that is held ends, by the clock of this process: one's own at the earliest, others' at the latest.
	Until time.Time
}

func leaseOf(held bool, token uint64, owner string, from time.Time, left time.Duration) Lease {
	out := Lease{Held: held, Token: token, Owner: owner}
	if held {
		out.Until = from.Add(left)
	}
	return out
}

func (e embedded) AcquireLease(ctx context.Context, region, name string, ttl time.Duration, owner string) (Lease, error) {
	r, err := e.f.Region(region)
	if err != nil {
		return Lease{}, err
	}
	l, err := r.AcquireLease(ctx, name, ttl, owner)
	if err != nil {
		return Lease{}, err
	}
	now := time.Now()
	return leaseOf(true, l.Token(), owner, now, l.Left()), nil
}

func (e embedded) RenewLease(ctx context.Context, region, name string, token uint64, ttl time.Duration) (Lease, error) {
	return e.lease(region, true, func(r *fabric.Region) (fabric.LeaseInfo, error) { return r.RenewLease(ctx, name, token, ttl) })
}

func (e embedded) Lease(ctx context.Context, region, name string) (Lease, error) {
	return e.lease(region, false, func(r *fabric.Region) (fabric.LeaseInfo, error) { return r.Lease(ctx, name) })
}

func (e embedded) lease(region string, own bool, fn func(r *fabric.Region) (fabric.LeaseInfo, error)) (Lease, error) {
	r, err := e.f.Region(region)
	if err != nil {
		return Lease{}, err
	}
	from := time.Now()
	x, err := fn(r)
	if err != nil {
		return Lease{}, err
	}
	if !own {
		from = time.Now()
	}
	return leaseOf(x.Held, x.Token, x.Owner, from, x.Left), nil
}

func (e embedded) ReleaseLease(ctx context.Context, region, name string, token uint64) error {
	r, err := e.f.Region(region)
	if err != nil {
		return err
	}
	return r.ReleaseLease(ctx, name, token)
}

func (e embedded) SetVoters(ctx context.Context, nodes ...string) error {
	_, err := e.f.SetVoters(ctx, nodes)
	return err
}

// leaseAnswer is what the API says of a lease.
type leaseAnswer struct {
	Held   bool   `json:"held"`
	Token  uint64 `json:"token"`
	Owner  string `json:"owner"`
	LeftMs int64  `json:"left_ms"`
}

// lease makes a request. own: the time counts from before it, and not from after the answer.
func (c *remote) lease(ctx context.Context, method, path string, body any, own bool) (Lease, error) {
	var x leaseAnswer
	from := time.Now()
	if _, err := c.ask(ctx, method, path, body, &x); err != nil {
		return Lease{}, err
	}
	if !own {
		from = time.Now()
	}
	return leaseOf(x.Held, x.Token, x.Owner, from, time.Duration(x.LeftMs)*time.Millisecond), nil
}

func (c *remote) AcquireLease(ctx context.Context, region, name string, ttl time.Duration, owner string) (Lease, error) {
	return c.lease(ctx, http.MethodPost, c.path(region, "leases", name), map[string]any{"ttl_ms": ttl.Milliseconds(), "owner": owner}, true)
}

func (c *remote) RenewLease(ctx context.Context, region, name string, token uint64, ttl time.Duration) (Lease, error) {
	return c.lease(ctx, http.MethodPut, c.path(region, "leases", name, strconv.FormatUint(token, 10)), map[string]any{"ttl_ms": ttl.Milliseconds()}, true)
}

func (c *remote) Lease(ctx context.Context, region, name string) (Lease, error) {
	return c.lease(ctx, http.MethodGet, c.path(region, "leases", name), nil, false)
}

func (c *remote) ReleaseLease(ctx context.Context, region, name string, token uint64) error {
	resp, err := c.do(ctx, http.MethodDelete, c.path(region, "leases", name, strconv.FormatUint(token, 10)), nil)
	if err == nil {
		_ = resp.Body.Close() // it is empty
	}
	return err
}

func (c *remote) SetVoters(ctx context.Context, nodes ...string) error {
	_, err := c.ask(ctx, http.MethodPut, c.base+"/v1/voters", map[string]any{"voters": nodes}, &struct{}{})
	return err
}
