package daemon

import (
	"context"
	"iter"
	"strconv"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric/client"
)

// Of a region without a copy here a holder answers; see package client.

func (b backend) getAway(ctx context.Context, region, key string) (control.Entry, error) {
	x, err := b.client.Read(ctx, region, key)
	if err != nil {
		return control.Entry{}, explain(err)
	}
	e := control.Entry{Region: region, Key: key, Kind: x.Type, Value: x.Value, Members: x.Members, Fields: x.Fields, ExpireAt: x.ExpireMs}
	for _, s := range x.Entries {
		e.Entries = append(e.Entries, control.StreamEntry{ID: s.ID, Fields: s.Fields})
	}
	switch x.Type {
	case crdt.KindFlag.String():
		text := "false"
		if x.On != nil && *x.On {
			text = "true"
		}
		e.Value = &text
	case crdt.KindSorted.String():
		e.Fields = map[string]string{}
		for _, s := range x.Scores {
			e.Fields[s.Member] = s.Score
		}
	case crdt.KindBounded.String():
		if x.Bounded == nil {
			break
		}
		limit := "min"
		if x.Bounded.Ceiling {
			limit = "max"
		}
		e.Fields = map[string]string{limit: strconv.FormatInt(x.Bounded.Limit, 10), "rights": strconv.FormatInt(x.Bounded.Rights, 10)}
	case crdt.KindBlock.String():
		if x.Length != nil {
			e.Fields = map[string]string{"length": strconv.FormatInt(*x.Length, 10)}
		}
	case crdt.KindMap.String():
	default:
		e.Fields = nil
	}
	return encoded(e), nil
}

func (b backend) writeAway(ctx context.Context, region string, ops ...client.Op) ([]client.Result, error) {
	results, err := b.client.Write(client.Unqueued(ctx), region, ops...) // who types it is told at once
	return results, explain(err)
}

func (b backend) watchAway(ctx context.Context, region, prefix string) iter.Seq2[control.Event, error] {
	return func(yield func(control.Event, error) bool) {
		told := false // the state is no change
		for ev, err := range b.client.Watch(ctx, region, client.WatchConfig{Prefix: prefix}) {
			switch {
			case err != nil:
				yield(control.Event{}, explain(err))
				return
			case ev.Event == "caught-up":
				told = true
			case ev.Event == "reset":
				told = false
			case ev.Event == "entry" && told:
				if !yield(control.Event{Region: region, Key: ev.Entry.Key, Kind: ev.Entry.Type}, nil) {
					return
				}
			}
		}
	}
}
