package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

var (
	// ErrCondition says that the entry is not in the state that an operation asks for: nothing was written.
	ErrCondition = errors.New("client: the entry is not in the state that is asked for")
	// ErrArguments says that an operation lacks arguments or has wrong ones: nothing was written.
	ErrArguments = errors.New("client: arguments")
	// ErrQueued says that a write waits at the node until it reaches a holder of the region, and is done then: what it comes to is not known.
	ErrQueued = errors.New("client: the write waits for a holder, and is done then")
)

// Conditions are what a request asks of the state of an entry before it is written.
type Conditions struct {
	IfMatch     string `header:"If-Match" doc:"ETags, or * for an entry that exists: else nothing is written."`
	IfNoneMatch string `header:"If-None-Match" doc:"ETags, or * for an entry that is absent: else nothing is written."`
}

// check compares the conditions with the state of an entry. Error: ErrCondition.
func (c Conditions) check(v *crdt.View, key string) error {
	if c.IfMatch == "" && c.IfNoneMatch == "" {
		return nil
	}
	there, tag := v.Kind(key) != crdt.KindNone, ETag(v, key)
	if c.IfMatch != "" && !Matches(c.IfMatch, tag, there) || c.IfNoneMatch != "" && Matches(c.IfNoneMatch, tag, there) {
		return fmt.Errorf("%w: it is %s", ErrCondition, tag)
	}
	return nil
}

// Matches reports whether a list of entity tags, RFC 9110, has one of an entry that is there.
func Matches(list, tag string, there bool) bool {
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

// Op is one operation on one key.
type Op struct {
	Op          string `json:"op" doc:"A name of the table: the end of the path of the operation, such as set/add."`
	Key         string `json:"key" minLength:"1"`
	KeyEncoding string `json:"key_encoding,omitempty" enum:"utf-8,base64" doc:"Default: utf-8."`
	IfMatch     string `json:"if_match,omitempty" doc:"As the header."`
	IfNoneMatch string `json:"if_none_match,omitempty" doc:"As the header."`
	Args
}

// call is an operation whose arguments were checked.
type call struct {
	op   *Operation
	key  string
	args Args
	want Conditions

	short *crdt.RightsError // what it was short of
}

// prepare checks what can be checked without the region. Errors: ErrArguments, crdt.ErrTooLarge.
func (b *Op) prepare() (call, error) {
	c := call{op: table[b.Op], key: b.Key, args: b.Args, want: Conditions{b.IfMatch, b.IfNoneMatch}}
	if c.op == nil {
		return c, fmt.Errorf("%w: no operation %.32q", ErrArguments, b.Op)
	}
	if b.KeyEncoding == "base64" {
		raw, err := base64.StdEncoding.DecodeString(b.Key)
		if err != nil {
			return c, fmt.Errorf("%w: key: %w", ErrArguments, err)
		}
		c.key = string(raw)
	}
	if err := c.op.complete(&c.args); err != nil {
		return c, err
	}
	if err := c.args.decode(); err != nil {
		return c, err
	}
	return c, c.args.check(c.key)
}

// complete checks that the arguments are there that the operation needs.
func (o *Operation) complete(a *Args) error {
	has := map[string]bool{
		"value": a.Value != nil, "ttl_ms": a.TTLMs != nil, "by": a.By != nil, "by_decimal": a.ByDecimal != nil, "member": a.Member != nil, "members": len(a.Members) > 0,
		"field": a.Field != nil, "names": len(a.Names) > 0, "fields": len(a.Fields) > 0, "scores": len(a.Scores) > 0, "on": a.On != nil, "index": a.Index != nil, "size": a.Size != nil, "offset": a.Offset != nil,
		"ids": len(a.IDs) > 0, "keep": a.Keep != nil, "initial": a.Initial != nil, "limit": a.Limit != nil,
	}
	for _, arg := range o.Needs {
		if !has[arg] {
			return fmt.Errorf("%w: %s needs %s", ErrArguments, o.Name, arg)
		}
	}
	return nil
}

// Apply writes the operations in one step: first all is checked that can be told beforehand, conditions and types, and then either all is done or
// nothing. What depends on values, such as the overflow of a sum, fails for its operation alone, and fault puts it into its result.
// Errors: ErrCondition, ErrArguments, crdt.ErrWrongType, crdt.ErrTooLarge, those of fabric.Region.Update.
func Apply(ctx context.Context, r *fabric.Region, ops []Op, fault func(error) *Fault) (results []Result, err error) {
	if unreached, ok := ctx.Value(queueKey{}).(error); ok {
		return queue(ctx, r, ops, fault, unreached)
	}
	write := r.Shrink
	calls := make([]call, len(ops))
	for i := range ops {
		if calls[i], err = ops[i].prepare(); err != nil {
			return nil, at(ops, i, err)
		}
		if !calls[i].op.shrinks {
			write = r.Update
		}
	}
	err = write(ctx, func(tx *crdt.Tx) error {
		if i, err := agree(&tx.View, calls); err != nil {
			return at(ops, i, err)
		}
		for i := range calls {
			results = append(results, calls[i].run(tx, fault))
		}
		return nil
	})
	for i := range calls {
		if s := calls[i].short; s != nil {
			r.WantRights(calls[i].key, s.Want)
		}
	}
	return results, err
}

type queueKey struct{}

// Queueing has Apply queue the operations, since no holder of the region is reached, as an error says: see fabric.Region.Queue.
func Queueing(ctx context.Context, unreached error) context.Context {
	return context.WithValue(ctx, queueKey{}, unreached)
}

// Unqueued has Client.Write give fabric.ErrNoHolder even where the region lets writes wait.
func Unqueued(ctx context.Context) context.Context {
	return context.WithValue(ctx, unqueuedKey{}, true)
}

type unqueuedKey struct{}

// queue has operations wait for a holder. Errors: that no holder is reached, where one of them depends on what is there, or the region does not allow
// it; those of fabric.Region.Queue.
func queue(ctx context.Context, r *fabric.Region, ops []Op, fault func(error) *Fault, unreached error) (results []Result, err error) {
	if !r.QueuesWrites() {
		return nil, unreached
	}
	calls := make([]call, len(ops))
	for i := range ops {
		c, err := ops[i].prepare()
		if err != nil {
			return nil, at(ops, i, err)
		}
		if !c.op.blind || c.want != (Conditions{}) || c.args.KeepExpiry {
			return nil, at(ops, i, fmt.Errorf("%w; %s as it stands cannot wait for one", unreached, c.op.Name))
		}
		calls[i] = c
	}
	err = r.Queue(ctx, func(tx *crdt.Tx) error {
		if i, err := agree(&tx.View, calls); err != nil {
			return at(ops, i, err)
		}
		for i := range calls {
			res := Result{Queued: true}
			if _, err := calls[i].op.do(tx, calls[i].key, &calls[i].args); err != nil {
				res = Result{Error: fault(err)}
			}
			results = append(results, res)
		}
		return nil
	})
	if errors.Is(err, fabric.ErrNotQueued) {
		err = unreached
	}
	return results, err
}

// agree checks conditions, as of before the calls, and that each finds an entry of its type after those before it.
func agree(v *crdt.View, calls []call) (wrong int, err error) {
	kinds := map[string]crdt.Kind{}
	for i := range calls {
		c := &calls[i]
		if err := c.want.check(v, c.key); err != nil {
			return i, err
		}
		kind, known := kinds[c.key]
		if !known {
			kind = v.Kind(c.key)
		}
		switch {
		case c.op.kind != crdt.KindNone && kind != crdt.KindNone && kind != c.op.kind:
			return i, crdt.ErrWrongType
		case c.op.kind != crdt.KindNone:
			kind = c.op.kind
		case c.op.Name == "register/set":
			kind = crdt.KindString
		case c.op.Name == "entry/delete":
			kind = crdt.KindNone
		}
		kinds[c.key] = kind
	}
	return 0, nil
}

func at(ops []Op, i int, err error) error {
	if len(ops) == 1 {
		return err
	}
	return fmt.Errorf("operation %d: %w", i, err)
}

func (c *call) run(tx *crdt.Tx, fault func(error) *Fault) Result {
	res, err := c.op.do(tx, c.key, &c.args)
	if err != nil {
		res = Result{Error: fault(err)}
	}
	errors.As(err, &c.short)
	res.ETag = ETag(&tx.View, c.key)
	return res
}
