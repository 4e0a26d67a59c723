package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

// Region is one region as this node has it.
type Region struct {
	Name        string   `json:"name"`
	Ack         string   `json:"ack" enum:"memory,disk,quorum,all" doc:"What writes wait for."`
	Consistency string   `json:"consistency" enum:"eventual,causal"`
	Priority    string   `json:"priority" enum:"guaranteed,burstable,best-effort"`
	Quota       int64    `json:"quota_bytes" doc:"Of each node's memory; 0 is none."`
	Reserve     int64    `json:"reserve_bytes" doc:"Of each node's memory; 0 is none."`
	QueueWrites bool     `json:"queue_writes" doc:"A node without a copy that reaches no holder keeps writes that depend on nothing until it does."`
	Queued      int      `json:"queued_writes" doc:"That wait so at this node."`
	Loading     bool     `json:"loading,omitempty" doc:"Reads are refused until a large pull is complete."`
	Entries     int      `json:"entries"`
	Bytes       int64    `json:"bytes" doc:"Keys and values."`
	Digest      string   `json:"digest" doc:"Equal on replicas that have seen the same."`
	UpTo        string   `json:"complete_up_to,omitempty" format:"date-time" doc:"Until when everything is here that the nodes had which are not dark."`
	Dark        []string `json:"dark" nullable:"false" doc:"Nodes that have not been heard of for ten minutes."`
}

func regionOf(s *fabric.RegionStatus) Region {
	out := Region{
		Name: s.Name, Ack: string(s.Ack), Consistency: string(s.Consistency), Priority: string(s.Memory.Priority), Quota: s.Memory.Quota, Reserve: s.Memory.Reserve,
		QueueWrites: s.QueueWrites, Queued: s.Queued, Loading: s.Loading, Entries: s.Entries, Bytes: s.Bytes, Digest: s.Digest, Dark: []string{},
	}
	if at := s.Complete.UpTo; !at.IsZero() {
		out.UpTo = at.UTC().Format("2006-01-02T15:04:05.999Z07:00")
	}
	for _, id := range s.Complete.Dark {
		out.Dark = append(out.Dark, string(id))
	}
	return out
}

// Terms are what a region is configured with; what is left out stays as it is.
type Terms struct {
	Ack         string `json:"ack,omitempty" enum:"memory,disk,quorum,all"`
	Consistency string `json:"consistency,omitempty" enum:"eventual,causal"`
	Priority    string `json:"priority,omitempty" enum:"guaranteed,burstable,best-effort"`
	Quota       int64  `json:"quota_bytes,omitempty" minimum:"-1" doc:"-1 takes it back."`
	Reserve     int64  `json:"reserve_bytes,omitempty" minimum:"-1" doc:"-1 takes it back."`
	QueueWrites *bool  `json:"queue_writes,omitempty" doc:"Whether a node without a copy that reaches no holder keeps writes that depend on nothing until it does."`
}

// Regions lists them.
type Regions struct {
	Regions []Region `json:"regions" nullable:"false"`
}

type explainedAnswer struct{ Body fabric.Explanation }
type explainQuery struct {
	RegionRequest
	Placement string `query:"placement" enum:"everywhere,demand,pinned" doc:"With this or min_copies: what would move."`
	MinCopies int    `query:"min_copies" minimum:"1" maximum:"1000"`
}
type regionAnswer struct{ Body Region }
type regionsAnswer struct{ Body Regions }
type RegionRequest struct {
	Region string `path:"region" minLength:"1" maxLength:"255"`
}
type termsRequest struct {
	RegionRequest
	Body Terms
}

func (s *server) addRegions(api huma.API) {
	const path = "/v1/regions/{region}"
	tags := []string{"regions"}
	huma.Register(api, huma.Operation{OperationID: "list-regions", Method: http.MethodGet, Path: "/v1/regions", Tags: tags, Errors: []int{503}, Summary: "List the regions that are in use"}, s.listRegions)
	huma.Register(api, huma.Operation{OperationID: "get-region", Method: http.MethodGet, Path: path, Tags: tags, Errors: []int{404, 503}, Summary: "Tell what this node has of a region"}, s.getRegion)
	huma.Register(api, huma.Operation{OperationID: "explain-region", Method: http.MethodGet, Path: path + "/explain", Tags: tags, Errors: []int{404, 422, 503},
		Summary: "Say where the copies of a region are, who uses it, and why copies moved or did not"}, s.explainRegion)
	huma.Register(api, huma.Operation{OperationID: "put-region", Method: http.MethodPut, Path: path, Tags: tags, Errors: []int{422, 503, 507}, Summary: "Create or configure a region, on every node"}, s.putRegion)
	huma.Register(api, huma.Operation{OperationID: "delete-region", Method: http.MethodDelete, Path: path, Tags: tags, Errors: []int{404, 503}, DefaultStatus: http.StatusNoContent,
		Summary: "Remove a region's entries, as far as they were seen here, and its configuration"}, s.deleteRegion)
}

func (s *server) listRegions(context.Context, *struct{}) (*regionsAnswer, error) {
	out := &regionsAnswer{Regions{[]Region{}}}
	for _, r := range s.f.Regions() {
		out.Body.Regions = append(out.Body.Regions, regionOf(&r))
	}
	return out, nil
}

func (s *server) getRegion(_ context.Context, q *RegionRequest) (*regionAnswer, error) {
	r, err := s.f.RegionStatus(q.Region)
	if err != nil {
		return nil, refusal(err)
	}
	return &regionAnswer{regionOf(&r)}, nil
}

func (s *server) explainRegion(ctx context.Context, q *explainQuery) (*explainedAnswer, error) {
	var try *fabric.Placement
	if q.Placement != "" || q.MinCopies > 0 {
		try = &fabric.Placement{Kind: q.Placement, MinCopies: q.MinCopies}
	}
	x, err := s.f.Explain(ctx, q.Region, try)
	if err != nil {
		return nil, refusal(err)
	}
	return &explainedAnswer{x}, nil
}

func (s *server) putRegion(ctx context.Context, q *termsRequest) (*regionAnswer, error) {
	b := &q.Body
	_, err := s.f.CreateRegion(ctx, q.Region, fabric.RegionConfig{
		Ack: fabric.Ack(b.Ack), Consistency: fabric.Consistency(b.Consistency), Priority: fabric.Priority(b.Priority), Quota: b.Quota, Reserve: b.Reserve,
		QueueWrites: b.QueueWrites,
	})
	if err != nil {
		return nil, refusal(err)
	}
	return s.getRegion(ctx, &q.RegionRequest)
}

func (s *server) deleteRegion(ctx context.Context, q *RegionRequest) (*struct{}, error) {
	return nil, refusal(client.DeleteRegion(ctx, s.f, q.Region))
}
