package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// BatchOp is one operation of a batch.
type BatchOp struct {
	Op          string `json:"op" doc:"A name of the table: the end of the path of the operation, such as set/add."`
	Key         string `json:"key" minLength:"1"`
	KeyEncoding string `json:"key_encoding,omitempty" enum:"utf-8,base64" doc:"Default: utf-8."`
	IfMatch     string `json:"if_match,omitempty" doc:"As the header."`
	IfNoneMatch string `json:"if_none_match,omitempty" doc:"As the header."`
	Args
}

// Batch is what is written together.
type Batch struct {
	Ops []BatchOp `json:"ops" nullable:"false" minItems:"1" maxItems:"1000"`
}

// BatchResult is what a batch did.
type BatchResult struct {
	Results []Result `json:"results" nullable:"false" doc:"One for each operation, in their order."`
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
	calls := make([]call, len(q.Body.Ops))
	for i := range q.Body.Ops {
		var err error
		if calls[i], err = q.Body.Ops[i].call(); err != nil {
			return nil, refusal(fmt.Errorf("operation %d: %w", i, err))
		}
	}
	r, err := s.open(ctx, &q.OfRegion)
	if err != nil {
		return nil, refusal(err)
	}
	results, err := apply(ctx, r, calls)
	if err != nil {
		return nil, refusal(err)
	}
	return &batchAnswer{s.stamp(r), BatchResult{results}}, nil
}

// call checks what a path's schema would. Error: errArguments.
func (b *BatchOp) call() (call, error) {
	o := table[b.Op]
	if o == nil {
		return call{}, fmt.Errorf("%w: no operation %.32q", errArguments, b.Op)
	}
	if err := o.complete(&b.Args); err != nil {
		return call{}, err
	}
	key := b.Key
	if b.KeyEncoding == "base64" {
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			return call{}, fmt.Errorf("%w: key: %w", errArguments, err)
		}
		key = string(raw)
	}
	return call{o, key, &b.Args, Conditions{b.IfMatch, b.IfNoneMatch}}, nil
}

// complete checks that the arguments are there that the operation needs.
func (o *op) complete(a *Args) error {
	has := map[string]bool{
		"value": a.Value != nil, "ttl_ms": a.TTLMs != nil, "by": a.By != nil, "by_decimal": a.ByDecimal != nil, "member": a.Member != nil, "members": len(a.Members) > 0,
		"field": a.Field != nil, "names": len(a.Names) > 0, "fields": len(a.Fields) > 0, "scores": len(a.Scores) > 0, "on": a.On != nil, "index": a.Index != nil,
	}
	for _, arg := range o.needs {
		if !has[arg] {
			return fmt.Errorf("%w: %s needs %s", errArguments, o.name, arg)
		}
	}
	return nil
}
