package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/fabric"
)

func (b backend) Lease(ctx context.Context, region, name string, call control.LeaseCall) (control.Lease, error) {
	r, err := b.fabric.Region(region)
	if err != nil {
		return control.Lease{}, explain(err)
	}
	var x fabric.LeaseInfo
	ttl := time.Duration(call.TTLMs) * time.Millisecond
	switch call.Do {
	case "acquire":
		var l *fabric.Lease
		if l, err = r.AcquireLease(ctx, name, ttl, call.Owner); err == nil {
			x = fabric.LeaseInfo{Held: true, Token: l.Token(), Owner: l.Owner(), Left: l.Left()}
		}
	case "renew":
		x, err = r.RenewLease(ctx, name, call.Token, ttl)
	case "release":
		err = r.ReleaseLease(ctx, name, call.Token)
	case "show":
		x, err = r.Lease(ctx, name)
	default:
		err = fmt.Errorf("%w: %q is nothing to do to a lease", control.ErrInvalid, call.Do)
	}
	return control.Lease{Held: x.Held, Token: x.Token, Owner: x.Owner, LeftMs: x.Left.Milliseconds()}, explain(err)
}

func (b backend) Voters() control.Voters { return votersOf(b.fabric.Voters()) }

func (b backend) SetVoters(ctx context.Context, nodes []string) (control.Voters, error) {
	v, err := b.fabric.SetVoters(ctx, nodes)
	return votersOf(v), explain(err)
}

func votersOf(v fabric.Voters) control.Voters {
	out := control.Voters{Epoch: v.Epoch, Majority: v.Need, Here: v.Votes, Voters: []control.Voter{}}
	for _, x := range v.Voters {
		out.Voters = append(out.Voters, control.Voter{ID: string(x.ID), Name: x.Name, Connected: x.Connected})
	}
	return out
}
