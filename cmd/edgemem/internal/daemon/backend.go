package daemon

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"runtime/metrics"
	"slices"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
	"github.com/edgemem/edgemem/p2p"
)

// backend answers the commands that arrive on the control socket.
type backend struct{ *Daemon }

func (b backend) Invite(ttl time.Duration, uses int) (control.Invitation, error) {
	ticket, err := b.host.Invite(p2p.InviteOptions{TTL: ttl, Uses: uses})
	return control.Invitation{Ticket: ticket, Expires: time.Now().Add(ttl).UTC().Truncate(time.Second)}, err
}

func (b backend) SetOffline(ctx context.Context, offline bool) error {
	return b.host.SetOffline(ctx, offline)
}

func (b backend) RetireNode(ctx context.Context, node string, how control.Retire) (string, error) {
	if how.Undo {
		id, err := b.fabric.ReinstateNode(ctx, node)
		return string(id), explain(err)
	}
	id, err := b.fabric.RetireNode(ctx, node, how.Force)
	return string(id), explain(err)
}

func (b backend) Scrub(ctx context.Context, region string) (control.ScrubReport, error) {
	rep, err := b.fabric.Scrub(ctx, region)
	return rep, explain(err)
}

func (b backend) ClearAlarms(ctx context.Context, kind, node string) (int, error) {
	n, err := b.fabric.ClearAlarm(ctx, kind, node)
	return n, explain(err)
}

func (b backend) CreateRegion(ctx context.Context, name string, o control.RegionOptions) (control.Region, error) {
	rc := fabric.RegionConfig{
		Ack: fabric.Ack(o.Ack), Consistency: fabric.Consistency(o.Consistency), Priority: fabric.Priority(o.Priority), Quota: o.QuotaBytes, Reserve: o.ReserveBytes,
		QueueWrites: o.QueueWrites, Placement: fabric.Placement{Kind: o.Placement, MinCopies: o.MinCopies, Tiers: o.Tiers, Labels: o.Labels},
	}
	if _, err := b.fabric.CreateRegion(ctx, name, rc); err != nil {
		return control.Region{}, explain(err)
	}
	return b.ShowRegion(name)
}

func (b backend) ShowRegion(name string) (control.Region, error) {
	r, err := b.fabric.RegionStatus(name)
	return control.RegionOf(r), explain(err)
}

func (b backend) RegionUsage(ctx context.Context, name string) (control.RegionUsage, error) {
	u, err := b.fabric.RegionUsage(ctx, name)
	if err != nil {
		return u, explain(err)
	}
	id := crdt.RegionIDOf(name)
	return u, b.store.Usage(id[:], func(_ []byte, bytes int64) {
		u.DiskBytes += bytes
		u.DiskRecords++
	})
}

func (b backend) DeleteRegion(ctx context.Context, name string) error {
	return explain(client.DeleteRegion(ctx, b.fabric, name))
}

func (b backend) MoveCopy(ctx context.Context, name string, give bool) (control.Region, error) {
	r, err := b.existing(name)
	if err != nil {
		return control.Region{}, err
	}
	move := r.TakeCopy
	if give {
		move = r.GiveCopy
	}
	if err := move(ctx); err != nil {
		return control.Region{}, explain(err)
	}
	return b.ShowRegion(name)
}

func (b backend) ExplainRegion(ctx context.Context, name string, try *control.RegionOptions) (control.Explanation, error) {
	var p *fabric.Placement
	if try != nil {
		p = &fabric.Placement{Kind: try.Placement, MinCopies: try.MinCopies, Tiers: try.Tiers, Labels: try.Labels}
	}
	x, err := b.fabric.Explain(ctx, name, p)
	return x, explain(err)
}

// existing gives a region without creating it: reading makes nothing.
func (b backend) existing(name string) (*fabric.Region, error) {
	if _, err := b.fabric.RegionStatus(name); err != nil {
		return nil, explain(err)
	}
	r, err := b.fabric.Region(name)
	return r, explain(err)
}

func (b backend) Get(ctx context.Context, region, key string) (control.Entry, error) {
	r, err := b.existing(region)
	if err != nil {
		return control.Entry{}, err
	}
	e := control.Entry{Region: region, Key: key}
	loading := r.View(func(v *crdt.View) { err = read(v, &e) })
	if errors.Is(loading, fabric.ErrNotHeld) {
		return b.getAway(ctx, region, key)
	}
	err = errors.Join(loading, err)
	if err == nil && e.Kind == crdt.KindNone.String() {
		err = fmt.Errorf("%w: region %s has no key %q", control.ErrNotFound, region, key)
	}
	return encoded(e), err
}

// read copies one entry out of the view.
func read(v *crdt.View, e *control.Entry) error {
	kind := v.Kind(e.Key)
	e.Kind = kind.String()
	if at, ok := v.ExpireAt(e.Key); ok {
		e.ExpireAt = at
	}
	switch kind {
	case crdt.KindString:
		val, _, err := v.Get(e.Key)
		text := string(val)
		e.Value = &text
		return err
	case crdt.KindSet:
		err := v.SetEach(e.Key, func(m string) bool { e.Members = append(e.Members, m); return true })
		slices.Sort(e.Members)
		return err
	case crdt.KindList:
		return v.ListEach(e.Key, 0, false, func(val []byte) bool { e.Members = append(e.Members, string(val)); return true })
	case crdt.KindStream:
		return v.StreamEach(e.Key, 0, false, func(id crdt.StreamID, fields [][]byte) bool {
			x := control.StreamEntry{ID: id.String(), Fields: []string{}}
			for _, f := range fields {
				x.Fields = append(x.Fields, string(f))
			}
			e.Entries = append(e.Entries, x)
			return true
		})
	case crdt.KindBlock:
		info, _, err := v.BlockInfo(e.Key)
		e.Fields = map[string]string{"length": strconv.FormatInt(info.Length, 10), "pages": strconv.Itoa(info.Pages), "bytes": strconv.FormatInt(info.Bytes, 10)}
		return err
	case crdt.KindJSON:
		doc, _, err := v.JSON(e.Key, "")
		text := string(doc.Append(nil, crdt.JSONStyle{}, documentBytesMax))
		e.Value = &text
		return err
	case crdt.KindBounded:
		b, _, err := v.Bounded(e.Key)
		text := strconv.FormatInt(b.Value, 10)
		limit := "min"
		if b.Ceiling {
			limit = "max"
		}
		e.Value, e.Fields = &text, map[string]string{limit: strconv.FormatInt(b.Limit, 10), "rights": strconv.FormatInt(b.Here, 10)}
		return err
	case crdt.KindFlag:
		on, _, _, err := v.Flag(e.Key)
		text := strconv.FormatBool(on)
		e.Value = &text
		return err
	case crdt.KindSorted:
		e.Fields = map[string]string{}
		return v.SortedEach(e.Key, 0, false, func(m []byte, score float64) bool {
			e.Fields[string(m)] = strconv.FormatFloat(score, 'g', -1, 64)
			return true
		})
	case crdt.KindMap:
		e.Fields = map[string]string{}
		return v.MapEach(e.Key, func(f string, val []byte) bool { e.Fields[f] = string(val); return true })
	}
	return nil
}

// documentBytesMax is from where a JSON document is cut off; it is then no JSON any more.
const documentBytesMax = 64 << 20

// Set, Delete and Increment create a region that does not exist, as SELECT and SET do.

func (b backend) Set(ctx context.Context, region, key string, value []byte) error {
	err := b.update(ctx, region, key, func(tx *crdt.Tx) error {
		tx.Set(key, value, false)
		return nil
	})
	if errors.Is(err, fabric.ErrNotHeld) {
		text := string(value)
		_, err = b.writeAway(ctx, region, client.Op{Op: "register/set", Key: key, Args: client.Args{Value: &text}})
	}
	return err
}

func (b backend) Delete(ctx context.Context, region string, keys []string) (deleted int, err error) {
	r, err := b.existing(region)
	if err != nil {
		return 0, err
	}
	err = r.Shrink(ctx, func(tx *crdt.Tx) error {
		for _, k := range keys {
			if tx.Del(k) {
				deleted++
			}
		}
		return nil
	})
	if !errors.Is(err, fabric.ErrNotHeld) {
		return deleted, explain(err)
	}
	ops := make([]client.Op, len(keys))
	for i, k := range keys {
		ops[i] = client.Op{Op: "entry/delete", Key: k}
	}
	results, err := b.writeAway(ctx, region, ops...)
	for _, res := range results {
		deleted += int(res.Changed)
	}
	return deleted, err
}

func (b backend) Increment(ctx context.Context, region, key string, by int64) (n int64, err error) {
	err = b.update(ctx, region, key, func(tx *crdt.Tx) (err error) {
		n, err = tx.Incr(key, by)
		return err
	})
	if !errors.Is(err, fabric.ErrNotHeld) {
		return n, err
	}
	results, err := b.writeAway(ctx, region, client.Op{Op: "counter/add", Key: key, Args: client.Args{By: &by}})
	if err == nil && results[0].Value != nil {
		n, err = strconv.ParseInt(*results[0].Value, 10, 64)
	}
	return n, err
}

func (b backend) update(ctx context.Context, region, key string, fn func(*crdt.Tx) error) error {
	if len(key) > crdt.MaxKeyBytes {
		return fmt.Errorf("%w: the key has %d bytes; the most is %d", control.ErrInvalid, len(key), crdt.MaxKeyBytes)
	}
	r, err := b.fabric.Region(region)
	if err != nil {
		return explain(err)
	}
	return explain(r.Update(ctx, fn))
}

func (b backend) Watch(ctx context.Context, region, prefix string) (iter.Seq2[control.Event, error], error) {
	r, err := b.existing(region)
	if err != nil {
		return nil, err
	}
	if !r.Held() {
		return b.watchAway(ctx, region, prefix), nil
	}
	events := r.Watch(ctx, prefix)
	return func(yield func(control.Event, error) bool) {
		for ev, err := range events {
			if !yield(control.Event{Region: region, Key: ev.Key, Kind: ev.Kind.String(), Local: ev.Local}, err) {
				return
			}
		}
	}, nil
}

// explain sorts an error into the classes that a command tells apart.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fabric.ErrNoRegion), errors.Is(err, fabric.ErrNoNode):
		return fmt.Errorf("%w: %w", control.ErrNotFound, err)
	case errors.Is(err, fabric.ErrRegionName), errors.Is(err, fabric.ErrBadTerms), errors.Is(err, fabric.ErrBadPlacement), errors.Is(err, fabric.ErrAmbiguous), errors.Is(err, fabric.ErrNoAlarm):
		return fmt.Errorf("%w: %w", control.ErrInvalid, err)
	case errors.Is(err, fabric.ErrNotFound):
		return fmt.Errorf("%w: %w", control.ErrNotFound, err)
	case errors.Is(err, fabric.ErrNoHolder):
		return fmt.Errorf("%w: %w", control.ErrNoHolder, err)
	case errors.Is(err, fabric.ErrBadLease):
		return fmt.Errorf("%w: %w", control.ErrInvalid, err)
	case errors.Is(err, fabric.ErrLeaseHeld), errors.Is(err, fabric.ErrLeaseLost):
		return fmt.Errorf("%w: %w", control.ErrHeld, err)
	case errors.Is(err, fabric.ErrNoMajority):
		return fmt.Errorf("%w: %w", control.ErrNoMajority, err)
	default:
		return err
	}
}

// encoded turns an entry with bytes that are no UTF-8 into base64, since JSON has only text.
func encoded(e control.Entry) control.Entry {
	texts := append([]string{e.Key}, e.Members...)
	if e.Value != nil {
		texts = append(texts, *e.Value)
	}
	for f, v := range e.Fields {
		texts = append(texts, f, v)
	}
	for i := range e.Entries {
		texts = append(texts, e.Entries[i].Fields...)
	}
	if e.Encoding = "utf-8"; control.UTF8(texts...) {
		return e
	}
	e.Encoding = "base64"
	e.Key = encode(e.Key)
	if e.Value != nil {
		*e.Value = encode(*e.Value)
	}
	for i, m := range e.Members {
		e.Members[i] = encode(m)
	}
	for i := range e.Entries {
		for k, f := range e.Entries[i].Fields {
			e.Entries[i].Fields[k] = encode(f)
		}
	}
	fields := map[string]string{}
	for f, v := range e.Fields {
		fields[encode(f)] = encode(v)
	}
	if e.Fields != nil {
		e.Fields = fields
	}
	return e
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// heapBytes reads what the Go heap holds in live and not yet swept objects.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
