// Package client reads and writes regions in one way, whether the node is in this process or behind its HTTP API.
//
//	c := client.Embedded(f)                              // of a *fabric.Fabric
//	c, err := client.Dial("http://127.0.0.1:7380", "")   // of a daemon
//
//	sold := client.CounterOf(c, "shop", "sold")
//	n, err := sold.Add(ctx, 3)
//	err = client.RegisterOf(c, "shop", "order:17", fabric.JSON[Order]{}).Set(ctx, order)
//	for ev, err := range c.Watch(ctx, "shop", client.WatchConfig{Prefix: "order:", Cursor: cursor}) { … }
//
// Both give the same errors: crdt's and fabric's sentinels, ErrCondition and ErrArguments. Everything is answered by the one node, and is as new as that node
// is: At and Token carry a session from one to another. Where that node has no copy of a region a holder answers it: Sourced tells which. Operations lists what can be written; package api serves the same table.
package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Client reads and writes the regions of one node. It may be used by many goroutines.
type Client interface {
	// Read gives what a key holds. Errors: fabric.ErrNotFound, fabric.ErrNoRegion, fabric.ErrLoading, crdt.ErrUnreadable.
	Read(ctx context.Context, region, key string) (Entry, error)
	// Write does the operations in one step: see Apply, whose errors it gives. With one operation its own error is the error. Where the node has no copy and reaches
	// no holder they may wait, see fabric.Region.Queue: Result.Queued says so.
	Write(ctx context.Context, region string, ops ...Op) ([]Result, error)
	// Keys gives the keys that start with a prefix in byte order. It is not one instant, and looks at all keys of the region once for each thousand.
	Keys(ctx context.Context, region, prefix string) iter.Seq2[Key, error]
	// Watch tells the state and then every change, until ctx ends or an error comes, which is the last. After a break go on with the Cursor of
	// the last event: see fabric.Follow.
	Watch(ctx context.Context, region string, c WatchConfig) iter.Seq2[Event, error]
	// Token gives what the node has seen of the region, and At waits until it has seen what a token has: fabric.ErrStale if ctx ends first.
	Token(ctx context.Context, region string) (string, error)
	At(ctx context.Context, region, token string) error
	// AcquireLease, RenewLease, ReleaseLease and Lease are those of fabric.Region, and SetVoters that of fabric.Fabric, with their errors. Who holds a lease
	// stores its token beside what it guards, and refuses older ones there.
	AcquireLease(ctx context.Context, region, name string, ttl time.Duration, owner string) (Lease, error)
	RenewLease(ctx context.Context, region, name string, token uint64, ttl time.Duration) (Lease, error)
	ReleaseLease(ctx context.Context, region, name string, token uint64) error
	Lease(ctx context.Context, region, name string) (Lease, error)
	SetVoters(ctx context.Context, nodes ...string) error
	// Close ends what the client has open; not the node.
	Close() error
}

// Key is one key of a region and the type of its entry.
type Key struct{ Key, Type string }

// WatchConfig says what to watch.
type WatchConfig struct {
	// Prefix of the keys. Default: all.
	Prefix string
	// Cursor is that of the last event that was heard. Default: the beginning.
	Cursor string
	// Pulse is how often a cursor comes where nothing else is told, 1 s to 1 h. Default: 15 s.
	Pulse time.Duration
}

// Event is one event of a watch.
type Event struct {
	Event  string // entry, caught-up, reset or pulse, as of fabric.EventKind
	Entry  *Entry // of entry: as it is now, of type none where it is gone
	Cursor string // where to go on after it
}

// pageKeys is how many keys are taken at once.
const pageKeys = 1000

// Embedded gives the client of a node in this process, which from then on answers other nodes that have no copy of a region, too. Where this node
// has none, a holder answers: see fabric.Ask, whose errors come then, too. Sourced tells who did.
func Embedded(f *fabric.Fabric) Client {
	e := embedded{f}
	f.Answer(service, e.serve)
	return e
}

type embedded struct{ f *fabric.Fabric }

func (e embedded) Close() error { return nil }

// existing gives a region for reading, which makes none.
func (e embedded) existing(region string) (*fabric.Region, error) {
	if _, err := e.f.RegionStatus(region); err != nil {
		return nil, err
	}
	return e.f.Region(region)
}

func (e embedded) Read(ctx context.Context, region, key string) (Entry, error) {
	x, err := e.read(region, key)
	if errors.Is(err, fabric.ErrNotHeld) {
		return e.readAway(ctx, region, key)
	}
	return x, err
}

func (e embedded) read(region, key string) (Entry, error) {
	r, err := e.existing(region)
	if err != nil {
		return Entry{}, err
	}
	return readPlainOf(r, key)
}

func (e embedded) Write(ctx context.Context, region string, ops ...Op) ([]Result, error) {
	var failed error
	results, err := e.write(ctx, region, ops, func(err error) *Fault { failed = err; return faultOf(err) })
	if errors.Is(err, fabric.ErrNotHeld) {
		results, err = e.writeAway(ctx, region, ops)
		if errors.Is(err, fabric.ErrNoHolder) && ctx.Value(unqueuedKey{}) == nil {
			results, err = e.write(Queueing(ctx, err), region, ops, func(err error) *Fault { failed = err; return faultOf(err) })
		}
		if err == nil && len(ops) == 1 && results[0].Error != nil {
			failed = results[0].Error.Err()
		}
	}
	if err == nil && len(ops) == 1 {
		err = failed
	}
	return results, err
}

func (e embedded) write(ctx context.Context, region string, ops []Op, fault func(error) *Fault) ([]Result, error) {
	r, err := e.f.Region(region)
	if err != nil {
		return nil, err
	}
	return Apply(ctx, r, ops, fault)
}

func (e embedded) Keys(ctx context.Context, region, prefix string) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		for after, more := "", true; more; {
			var keys []Key
			found, left, err := e.keys(region, prefix, after)
			for _, k := range found {
				keys = append(keys, Key{k.Key, k.Kind.String()})
			}
			if errors.Is(err, fabric.ErrNotHeld) {
				keys, left, err = e.keysAway(ctx, region, prefix, after)
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Key{}, err)
				return
			}
			for _, k := range keys {
				if !yield(k, nil) {
					return
				}
				after = k.Key
			}
			more = left && len(keys) > 0
		}
	}
}

func (e embedded) keys(region, prefix, after string) ([]fabric.KeyInfo, bool, error) {
	r, err := e.existing(region)
	if err != nil {
		return nil, false, err
	}
	return r.Keys(prefix, after, pageKeys)
}

func (e embedded) Watch(ctx context.Context, region string, c WatchConfig) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r, err := e.f.Region(region)
		var from fabric.Cursor
		if err == nil {
			from, err = fabric.ParseCursor(c.Cursor)
		}
		if err != nil {
			yield(Event{}, err)
			return
		}
		follow := fabric.FollowConfig{Prefix: c.Prefix, From: from, Pulse: c.pulse()}
		for ev, err := range fabric.Follow(ctx, r, follow, readWatched) {
			if errors.Is(err, fabric.ErrNotHeld) {
				e.watchAway(ctx, region, c)(yield)
				return
			}
			out := Event{Event: ev.Kind.String(), Cursor: ev.Cursor.String()}
			if ev.Kind == fabric.EventEntry {
				out.Entry = &ev.Value
			}
			if err == nil {
				c.Cursor = out.Cursor
			}
			if !yield(out, err) {
				return
			}
		}
	}
}

// readWatched gives a value that cannot be read as truncated: the node alarms.
func readWatched(v *crdt.View, key string) (Entry, int) {
	e, bytes, err := readPlain(v, key)
	e.Truncated = e.Truncated || err != nil
	return e, bytes
}

func (c *WatchConfig) pulse() time.Duration {
	if c.Pulse == 0 {
		return 15 * time.Second
	}
	return min(max(c.Pulse, time.Second), time.Hour)
}

func (e embedded) Token(ctx context.Context, region string) (string, error) {
	t, err := e.token(region)
	if errors.Is(err, fabric.ErrNotHeld) {
		out, err := e.ask(ctx, region, &question{Token: true})
		return out.Token, err
	}
	return t, err
}

func (e embedded) token(region string) (string, error) {
	r, err := e.existing(region)
	if err != nil {
		return "", err
	}
	if !r.Held() {
		return "", fmt.Errorf("%w: %s", fabric.ErrNotHeld, region)
	}
	return r.Token().String(), nil
}

func (e embedded) At(ctx context.Context, region, token string) error {
	err := e.at(ctx, region, token)
	if errors.Is(err, fabric.ErrNotHeld) {
		_, err = e.ask(ctx, region, &question{At: token})
	}
	return err
}

func (e embedded) at(ctx context.Context, region, token string) error {
	t, err := fabric.ParseToken(token)
	if err != nil {
		return err
	}
	r, err := e.f.Region(region)
	if err != nil {
		return err
	}
	if !r.Held() {
		return fmt.Errorf("%w: %s", fabric.ErrNotHeld, region)
	}
	return r.At(ctx, t)
}

// urn begins the type of every problem.
const urn = "urn:edgemem:problem:"

// named are the errors that have a name of their own, in problems over HTTP and in faults; the first that matches counts. Package api says with which
// status each is answered, and tests that none is missing here.
var named = []struct {
	name string
	err  error
}{
	{"not-merged", fabric.ErrNotMerged}, // before what it may wrap
	{"uncertain", fabric.ErrUncertain}, {"no-holder", fabric.ErrNoHolder}, {"not-held", fabric.ErrNotHeld},
	{"not-found", fabric.ErrNotFound}, {"not-found", fabric.ErrNoRegion}, {"condition", ErrCondition}, {"arguments", ErrArguments}, {"stale", fabric.ErrStale},
	{"region-name", fabric.ErrRegionName}, {"token", fabric.ErrToken}, {"loading", fabric.ErrLoading}, {"busy", fabric.ErrTooManyWaiters}, {"closing", fabric.ErrClosed},
	{"disk-full", fabric.ErrDiskFull}, {"memory-full", fabric.ErrMemoryFull}, {"quota", fabric.ErrQuota}, {"too-many-regions", fabric.ErrTooMany},
	{"lease-held", fabric.ErrLeaseHeld}, {"lease-lost", fabric.ErrLeaseLost}, {"no-majority", fabric.ErrNoMajority}, {"no-voters", fabric.ErrNoVoters},
	{"bad-lease", fabric.ErrBadLease}, {"no-node", fabric.ErrNoNode}, {"ambiguous-node", fabric.ErrAmbiguous},
	{"not-durable", fabric.ErrNotDurable}, {"wrong-type", crdt.ErrWrongType}, {"too-large", crdt.ErrTooLarge}, {"not-a-number", crdt.ErrNotInteger},
	{"overflow", crdt.ErrOverflow}, {"no-element", crdt.ErrNoElement}, {"stream-id", crdt.ErrStreamID}, {"stream-full", crdt.ErrStreamFull}, {"no-block", crdt.ErrNoBlock}, {"no-bounded", crdt.ErrNoBounded}, {"bounded-exists", crdt.ErrBoundedExists}, {"beyond-limit", crdt.ErrBeyondLimit}, {"no-rights", crdt.ErrNoRights}, {"outside", crdt.ErrOutside}, {"unreadable", crdt.ErrUnreadable}, {"terms", fabric.ErrBadTerms},
	{"placement", fabric.ErrBadPlacement},
}

func faultOf(err error) *Fault {
	for _, x := range named {
		if errors.Is(err, x.err) {
			return &Fault{urn + x.name, err.Error()}
		}
	}
	return &Fault{"about:blank", err.Error()}
}

// Err is the error that a fault stands for: of the sentinels, where it has one.
func (f *Fault) Err() error {
	for _, x := range named {
		if f.Type == urn+x.name {
			return fmt.Errorf("%w: %s", x.err, f.Detail)
		}
	}
	return errors.New("client: " + f.Detail)
}

// decode undoes encode.
func (e *Entry) decode() error {
	if e.Encoding != "base64" {
		return nil
	}
	e.Encoding = ""
	var failed error
	plain := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			failed = err
		}
		return string(b)
	}
	e.Key = plain(e.Key)
	if e.Value != nil {
		text := plain(*e.Value)
		e.Value = &text
	}
	for _, list := range [][]string{e.Siblings, e.Members} {
		for i := range list {
			list[i] = plain(list[i])
		}
	}
	for i := range e.Scores {
		e.Scores[i].Member = plain(e.Scores[i].Member)
	}
	fields := make(map[string]string, len(e.Fields))
	for f, v := range e.Fields {
		fields[plain(f)] = plain(v)
	}
	e.Fields = fields
	return failed
}
