package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// service is how nodes without a copy of a region ask others for what the methods of Client do: a question and an answer in JSON, or, of a
// watch, a line for each event.
const service = "client"

// Sourced has fn told who answered whenever a node answers in place of this one, which has no copy of the region.
func Sourced(ctx context.Context, fn func(fabric.Source)) context.Context {
	return context.WithValue(ctx, sourceKey{}, fn)
}

type sourceKey struct{}

func tellSource(ctx context.Context, s fabric.Source) {
	if fn, ok := ctx.Value(sourceKey{}).(func(fabric.Source)); ok {
		fn(s)
	}
}

// question is what is asked. One of the parts is there.
type question struct {
	Read  *[]byte    `json:"read,omitempty"` // a key
	Write []Op       `json:"write,omitempty"`
	Keys  *keysAsked `json:"keys,omitempty"`
	Watch *struct {
		Prefix []byte `json:"prefix"`
		Cursor string `json:"cursor"`
		Pulse  int64  `json:"pulse_ms"`
	} `json:"watch,omitempty"`
	Token  bool   `json:"token,omitempty"`
	Delete bool   `json:"delete,omitempty"` // the region
	At     string `json:"at,omitempty"`     // a token
}

func (q *question) writes() bool { return len(q.Write) > 0 || q.Delete }

type keysAsked struct {
	Prefix []byte `json:"prefix"`
	After  []byte `json:"after"`
}

// answer is what comes back. A fault is of the whole.
type answer struct {
	Entry   *Entry    `json:"entry,omitempty"`
	Results []Result  `json:"results,omitempty"`
	Keys    []keyTold `json:"keys,omitempty"`
	More    bool      `json:"more,omitempty"`
	Token   string    `json:"token,omitempty"`
	Event   *Event    `json:"event,omitempty"`
	Fault   *Fault    `json:"fault,omitempty"`
}

type keyTold struct {
	Key  []byte `json:"key"`
	Type string `json:"type"`
}

// serve answers questions of other nodes from this one's copy.
func (e embedded) serve(ctx context.Context, q *fabric.Asked, w io.Writer) error {
	var asked question
	if err := json.Unmarshal(q.Body, &asked); err != nil {
		return fmt.Errorf("client: a question: %w", err)
	}
	if asked.writes() && !q.Write {
		return errors.New("client: a write that says that it is none")
	}
	if asked.Watch != nil {
		return e.serveWatch(ctx, q.Region, &asked, w)
	}
	out, err := e.answer(ctx, q.Region.Name(), &asked)
	switch {
	case errors.Is(err, fabric.ErrNotHeld):
		return err
	case err != nil:
		out.Fault = faultOf(err)
	}
	return json.NewEncoder(w).Encode(out)
}

func (e embedded) answer(ctx context.Context, region string, q *question) (out answer, err error) {
	switch {
	case q.Read != nil:
		var x Entry
		if x, err = e.read(region, string(*q.Read)); err == nil {
			x.encode()
			out.Entry = &x
		}
	case len(q.Write) > 0:
		out.Results, err = e.write(ctx, region, q.Write, faultOf)
	case q.Keys != nil:
		var keys []fabric.KeyInfo
		keys, out.More, err = e.keys(region, string(q.Keys.Prefix), string(q.Keys.After))
		for _, k := range keys {
			out.Keys = append(out.Keys, keyTold{[]byte(k.Key), k.Kind.String()})
		}
	case q.Token:
		out.Token, err = e.token(region)
	case q.Delete:
		err = e.f.DeleteRegion(ctx, region)
	case q.At != "":
		err = e.at(ctx, region, q.At)
	default:
		err = fmt.Errorf("%w: an empty question", ErrArguments)
	}
	return out, err
}

func (e embedded) serveWatch(ctx context.Context, r *fabric.Region, q *question, w io.Writer) error {
	from, err := fabric.ParseCursor(q.Watch.Cursor)
	out := bufio.NewWriterSize(w, 16<<10)
	lines := json.NewEncoder(out)
	if err != nil {
		_ = lines.Encode(answer{Fault: faultOf(err)})
		return out.Flush()
	}
	reach(ctx, r, from)
	c := WatchConfig{Pulse: time.Duration(q.Watch.Pulse) * time.Millisecond}
	follow := fabric.FollowConfig{Prefix: string(q.Watch.Prefix), From: from, Pulse: c.pulse()}
	for ev, err := range fabric.Follow(ctx, r, follow, readWatched) {
		if errors.Is(err, fabric.ErrNotHeld) {
			_ = out.Flush()
			return err
		}
		line := answer{Event: &Event{Event: ev.Kind.String(), Cursor: ev.Cursor.String()}}
		if err != nil {
			line = answer{Fault: faultOf(err)}
		} else if ev.Kind == fabric.EventEntry {
			ev.Value.encode()
			line.Event.Entry = &ev.Value
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
		if !ev.More {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// reachWait is how long a holder waits for what a follower has seen elsewhere, before it is told to begin anew.
const reachWait = 5 * time.Second

func reach(ctx context.Context, r *fabric.Region, from fabric.Cursor) {
	ctx, cancel := context.WithTimeout(ctx, reachWait)
	defer cancel()
	_ = r.At(ctx, from.Token())
}

// ask has a holder answer. A repeated write is done once.
func (e embedded) ask(ctx context.Context, region string, q *question) (out answer, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return out, fmt.Errorf("client: %w", err)
	}
	b, source, err := e.f.Ask(ctx, fabric.Request{Region: region, Service: service, Body: body, Write: q.writes()})
	if err != nil {
		return out, err
	}
	tellSource(ctx, source)
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if out.Fault != nil {
		err = out.Fault.Err()
	}
	return out, err
}

// DeleteRegion is fabric.DeleteRegion, which a holder does where this node has no copy.
func DeleteRegion(ctx context.Context, f *fabric.Fabric, name string) error {
	err := f.DeleteRegion(ctx, name)
	if errors.Is(err, fabric.ErrNotHeld) {
		_, err = embedded{f}.ask(ctx, name, &question{Delete: true})
	}
	return err
}

func (e embedded) readAway(ctx context.Context, region, key string) (Entry, error) {
	name := []byte(key)
	out, err := e.ask(ctx, region, &question{Read: &name})
	if err != nil {
		return Entry{}, err
	}
	if out.Entry == nil {
		return Entry{}, fmt.Errorf("%w: no entry", ErrAnswer)
	}
	return *out.Entry, out.Entry.decode()
}

func (e embedded) writeAway(ctx context.Context, region string, ops []Op) ([]Result, error) {
	q := question{Write: make([]Op, len(ops))}
	for i := range ops {
		q.Write[i] = ops[i].encoded()
	}
	out, err := e.ask(ctx, region, &q)
	if err == nil && len(out.Results) != len(ops) {
		return nil, fmt.Errorf("%w: %d results of %d operations", ErrAnswer, len(out.Results), len(ops))
	}
	return out.Results, err
}

func (e embedded) keysAway(ctx context.Context, region, prefix, after string) (keys []Key, more bool, err error) {
	out, err := e.ask(ctx, region, &question{Keys: &keysAsked{[]byte(prefix), []byte(after)}})
	for _, k := range out.Keys {
		keys = append(keys, Key{string(k.Key), k.Type})
	}
	return keys, out.More, err
}

// watchAway goes on at another holder, at the last cursor, when one breaks off.
func (e embedded) watchAway(ctx context.Context, region string, c WatchConfig) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			came, goOn, err := e.watchOne(ctx, region, &c, yield)
			if !goOn || ctx.Err() != nil {
				return
			}
			if err != nil && came == 0 {
				yield(Event{}, err)
				return
			}
		}
	}
}

// watchOne watches through one holder, counts what came, and keeps its cursor in c. goOn is false when the loop was left, or has its last error.
func (e embedded) watchOne(ctx context.Context, region string, c *WatchConfig, yield func(Event, error) bool) (came int, goOn bool, err error) {
	q := question{}
	q.Watch = &struct {
		Prefix []byte `json:"prefix"`
		Cursor string `json:"cursor"`
		Pulse  int64  `json:"pulse_ms"`
	}{[]byte(c.Prefix), c.Cursor, c.pulse().Milliseconds()}
	body, err := json.Marshal(&q)
	if err != nil {
		return 0, true, fmt.Errorf("client: %w", err)
	}
	reply, err := e.f.Open(ctx, fabric.Request{Region: region, Service: service, Body: body, Lasts: true})
	if err != nil {
		return 0, true, err
	}
	defer reply.Close()
	tellSource(ctx, reply.Source())
	lines := bufio.NewScanner(reply)
	lines.Buffer(nil, answerMax)
	for lines.Scan() {
		var line answer
		err := json.Unmarshal(lines.Bytes(), &line)
		switch {
		case err == nil && line.Fault != nil:
			yield(Event{}, line.Fault.Err())
			return came, false, nil
		case err == nil && line.Event != nil && line.Event.Entry != nil:
			err = line.Event.Entry.decode()
		case err == nil && line.Event == nil:
			err = errors.New("an empty line")
		}
		if err != nil {
			yield(Event{}, fmt.Errorf("%w: %w", ErrAnswer, err))
			return came, false, nil
		}
		c.Cursor = line.Event.Cursor
		if came++; !yield(*line.Event, nil) {
			return came, false, nil
		}
	}
	return came, true, errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}

// readPlainOf reads an entry of this node's copy. Error: fabric.ErrNotFound, too.
func readPlainOf(r *fabric.Region, key string) (x Entry, err error) {
	viewErr := r.View(func(v *crdt.View) { x, _, err = readPlain(v, key) })
	switch {
	case err != nil:
		return x, err
	case viewErr != nil:
		return x, viewErr
	case x.Type == crdt.KindNone.String():
		return x, fmt.Errorf("%w: %.64q in region %s", fabric.ErrNotFound, key, r.Name())
	}
	return x, nil
}
