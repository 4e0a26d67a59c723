package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Conditions are what a request asks of the state of an entry before it is written.
type Conditions struct {
	IfMatch     string `header:"If-Match" doc:"ETags, or * for an entry that exists: else nothing is written."`
	IfNoneMatch string `header:"If-None-Match" doc:"ETags, or * for an entry that is absent: else nothing is written."`
}

// check compares the conditions with the state of an entry. Error: errCondition.
func (c Conditions) check(v *crdt.View, key string) error {
	if c.IfMatch == "" && c.IfNoneMatch == "" {
		return nil
	}
	there, tag := v.Kind(key) != crdt.KindNone, etag(v, key)
	if c.IfMatch != "" && !matches(c.IfMatch, tag, there) || c.IfNoneMatch != "" && matches(c.IfNoneMatch, tag, there) {
		return fmt.Errorf("%w: it is %s", errCondition, tag)
	}
	return nil
}

// matches reports whether a list of entity tags, RFC 9110, has one of an entry that is there.
func matches(list, tag string, there bool) bool {
	if !there {
		return false
	}
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimPrefix(strings.TrimSpace(item), "W/")
		if item == "*" || item == tag {
			return true
		}
	}
	return false
}

// call is one operation on one key.
type call struct {
	op   *op
	key  string
	args *Args
	want Conditions
}

// prepare checks what can be checked without the region.
func (c *call) prepare() error {
	if err := c.args.decode(); err != nil {
		return err
	}
	return c.args.check(c.key)
}

// apply writes the calls in one step: first all is checked that can be told beforehand, conditions and types, and then either all is done or
// nothing. What depends on values, such as the overflow of a sum, fails for its operation alone.
func apply(ctx context.Context, r *fabric.Region, calls []call) (results []Result, err error) {
	write := r.Shrink
	for i := range calls {
		if err := calls[i].prepare(); err != nil {
			return nil, err
		}
		if !calls[i].op.shrinks {
			write = r.Update
		}
	}
	err = write(ctx, func(tx *crdt.Tx) error {
		if err := agree(&tx.View, calls); err != nil {
			return err
		}
		for i := range calls {
			results = append(results, calls[i].run(tx))
		}
		return nil
	})
	return results, err
}

// agree checks conditions, as of before the calls, and that each finds an entry of its type after those before it.
func agree(v *crdt.View, calls []call) error {
	kinds := map[string]crdt.Kind{}
	for i, c := range calls {
		if err := c.want.check(v, c.key); err != nil {
			return at(calls, i, err)
		}
		kind, known := kinds[c.key]
		if !known {
			kind = v.Kind(c.key)
		}
		switch {
		case c.op.kind != crdt.KindNone && kind != crdt.KindNone && kind != c.op.kind:
			return at(calls, i, crdt.ErrWrongType)
		case c.op.kind != crdt.KindNone:
			kind = c.op.kind
		case c.op.name == "register/set":
			kind = crdt.KindString
		case c.op.name == "entry/delete":
			kind = crdt.KindNone
		}
		kinds[c.key] = kind
	}
	return nil
}

func at(calls []call, i int, err error) error {
	if len(calls) == 1 {
		return err
	}
	return fmt.Errorf("operation %d: %w", i, err)
}

func (c *call) run(tx *crdt.Tx) Result {
	res, err := c.op.do(tx, c.key, c.args)
	if err != nil {
		res = Result{Error: faultOf(err)}
	}
	res.ETag = etag(&tx.View, c.key)
	return res
}

func faultOf(err error) *fault {
	var p *huma.ErrorModel
	if errors.As(refusal(err), &p) {
		return &fault{Type: p.Type, Detail: p.Detail}
	}
	return &fault{Type: "about:blank", Detail: err.Error()}
}

// alone gives the result of one call, or its error as the answer.
func alone(results []Result, err error) (Result, error) {
	if err != nil {
		return Result{}, refusal(err)
	}
	res := results[0]
	if f := res.Error; f != nil {
		for _, x := range problems {
			if name := "urn:edgemem:problem:" + x.name; name == f.Type {
				return Result{}, problem(x.status, x.name, f.Detail)
			}
		}
		return Result{}, problem(500, "internal", f.Detail)
	}
	return res, nil
}
