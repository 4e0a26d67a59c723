package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/fabric"
)

// Lease is a lease as a majority of the voters knows it.
type Lease struct {
	Held   bool   `json:"held"`
	Token  uint64 `json:"token" doc:"Of its last holder, higher than all before it; 0 where nobody ever had it. Store it beside what the lease guards, and refuse older ones."`
	Owner  string `json:"owner" doc:"What its last holder calls itself."`
	LeftMs int64  `json:"left_ms" doc:"For who holds it, how long it lasts at least, from before the request was sent; for others, how long at most. Milliseconds."`
}

type leaseAnswer struct{ Body Lease }

// LeasePath names a lease.
type LeasePath struct {
	RegionRequest
	Name string `path:"name" minLength:"1" maxLength:"256"`
}

type leaseAcquire struct {
	LeasePath
	Body struct {
		TTLMs int64  `json:"ttl_ms" minimum:"100" maximum:"3600000" doc:"Nobody else gets it for so long, milliseconds."`
		Owner string `json:"owner,omitempty" maxLength:"128" doc:"What others are told of its holder."`
	}
}

type leaseRenew struct {
	LeasePath
	Token uint64 `path:"token" minimum:"1"`
	Body  struct {
		TTLMs int64 `json:"ttl_ms" minimum:"100" maximum:"3600000" doc:"It lasts for so long from now on, milliseconds."`
	}
}

type leaseRelease struct {
	LeasePath
	Token uint64 `path:"token" minimum:"1"`
}

// Voters is who votes on leases.
type Voters struct {
	Epoch    uint64  `json:"epoch" doc:"How often they were named; 0 is never, as far as this node knows."`
	Majority int     `json:"majority" doc:"So many are a majority."`
	Here     bool    `json:"votes_here" doc:"This node has a vote."`
	Voters   []Voter `json:"voters" nullable:"false"`
}

// Voter is one of them.
type Voter struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Connected bool   `json:"connected"`
}

type votersAnswer struct{ Body Voters }
type votersRequest struct {
	Body struct {
		Voters []string `json:"voters" minItems:"1" maxItems:"15" doc:"Nodes of tier edge or above, by id or name."`
	}
}

func (s *server) addLeases(api huma.API) {
	const path = "/v1/regions/{region}/leases/{name}"
	tags := []string{"leases"}
	huma.Register(api, huma.Operation{OperationID: "get-lease", Method: http.MethodGet, Path: path, Tags: tags, Errors: []int{503}, Summary: "Tell who holds a lease"}, s.getLease)
	huma.Register(api, huma.Operation{OperationID: "acquire-lease", Method: http.MethodPost, Path: path, Tags: tags, Errors: []int{409, 422, 503}, Summary: "Take a lease, unless somebody holds it"}, s.acquireLease)
	huma.Register(api, huma.Operation{OperationID: "renew-lease", Method: http.MethodPut, Path: path + "/{token}", Tags: tags, Errors: []int{410, 422, 503}, Summary: "Have a lease last longer"}, s.renewLease)
	huma.Register(api, huma.Operation{OperationID: "release-lease", Method: http.MethodDelete, Path: path + "/{token}", Tags: tags, Errors: []int{410, 503}, DefaultStatus: http.StatusNoContent,
		Summary: "Give a lease up"}, s.releaseLease)
	huma.Register(api, huma.Operation{OperationID: "get-voters", Method: http.MethodGet, Path: "/v1/voters", Tags: tags, Errors: []int{503}, Summary: "Tell who votes on leases"}, s.getVoters)
	huma.Register(api, huma.Operation{OperationID: "put-voters", Method: http.MethodPut, Path: "/v1/voters", Tags: tags, Errors: []int{404, 422, 503},
		Summary: "Name the nodes that vote on leases, the first time with all core members connected"}, s.putVoters)
}

func leaseOf(x fabric.LeaseInfo) *leaseAnswer {
	return &leaseAnswer{Lease{Held: x.Held, Token: x.Token, Owner: x.Owner, LeftMs: x.Left.Milliseconds()}}
}

func (s *server) getLease(ctx context.Context, q *LeasePath) (*leaseAnswer, error) {
	r, err := s.f.Region(q.Region)
	if err != nil {
		return nil, refusal(err)
	}
	x, err := r.Lease(ctx, q.Name)
	if err != nil {
		return nil, refusal(err)
	}
	return leaseOf(x), nil
}

func (s *server) acquireLease(ctx context.Context, q *leaseAcquire) (*leaseAnswer, error) {
	r, err := s.f.Region(q.Region)
	if err != nil {
		return nil, refusal(err)
	}
	l, err := r.AcquireLease(ctx, q.Name, time.Duration(q.Body.TTLMs)*time.Millisecond, q.Body.Owner)
	if err != nil {
		return nil, refusal(err)
	}
	return &leaseAnswer{Lease{Held: true, Token: l.Token(), Owner: l.Owner(), LeftMs: l.Left().Milliseconds()}}, nil
}

func (s *server) renewLease(ctx context.Context, q *leaseRenew) (*leaseAnswer, error) {
	r, err := s.f.Region(q.Region)
	if err != nil {
		return nil, refusal(err)
	}
	x, err := r.RenewLease(ctx, q.Name, q.Token, time.Duration(q.Body.TTLMs)*time.Millisecond)
	if err != nil {
		return nil, refusal(err)
	}
	return leaseOf(x), nil
}

func (s *server) releaseLease(ctx context.Context, q *leaseRelease) (*struct{}, error) {
	r, err := s.f.Region(q.Region)
	if err != nil {
		return nil, refusal(err)
	}
	return nil, refusal(r.ReleaseLease(ctx, q.Name, q.Token))
}

func votersOf(v fabric.Voters) *votersAnswer {
	out := &votersAnswer{Voters{Epoch: v.Epoch, Majority: v.Need, Here: v.Votes, Voters: []Voter{}}}
	for _, x := range v.Voters {
		out.Body.Voters = append(out.Body.Voters, Voter{string(x.ID), x.Name, x.Connected})
	}
	return out
}

func (s *server) getVoters(context.Context, *struct{}) (*votersAnswer, error) {
	return votersOf(s.f.Voters()), nil
}

func (s *server) putVoters(ctx context.Context, q *votersRequest) (*votersAnswer, error) {
	v, err := s.f.SetVoters(ctx, q.Body.Voters)
	if err != nil {
		return nil, refusal(err)
	}
	return votersOf(v), nil
}
