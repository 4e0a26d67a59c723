package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/fabric/client"
)

// Batch is what is written together.
type Batch struct {
	Ops []client.Op `json:"ops" nullable:"false" minItems:"1" maxItems:"1000"`
}

// BatchResult is what a batch did.
type BatchResult struct {
	Results []client.Result `json:"results" nullable:"false" doc:"One for each operation, in their order."`
}

type batchRequest struct {
	OfRegion
	Body Batch
}

type batchAnswer struct {
	Stamp
	Body BatchResult
}

func (s *server) addBatch(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "batch", Method: http.MethodPost, Path: "/v1/regions/{region}/batch", Tags: []string{"operations"}, MaxBodyBytes: batchBodyMax,
		Summary: "Write several entries in one step", Errors: []int{400, 404, 409, 412, 413, 422, 503, 507},
		Description: "Nobody on this node sees a part of it, and it leaves as one delta group. Conditions, types, sizes and arguments are checked first: if one is not met nothing is written. " +
			"What depends on values, such as the overflow of a sum, fails for its operation alone, which says so in its result.",
	}, s.batch)
}

func (s *server) batch(ctx context.Context, q *batchRequest) (*batchAnswer, error) {
	r, err := s.open(ctx, &q.OfRegion)
	if err != nil {
		return nil, refusal(err)
	}
	results, err := client.Apply(ctx, r, q.Body.Ops, fault)
	if err != nil {
		return nil, refusal(err)
	}
	return &batchAnswer{s.stamp(r), BatchResult{results}}, nil
}
