package api

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// Session is what a request may say about the state that it wants.
type Session struct {
	Context string `header:"Edgemem-Context" doc:"Token of an earlier answer about the region: this one is to be no older."`
	WaitMs  int    `header:"Edgemem-Wait-Ms" minimum:"0" maximum:"60000" doc:"How long to wait for that, milliseconds; then the answer is 503 with the problem stale. Default: 0."`
}

// at waits as the request asks.
func (q *Session) at(ctx context.Context, r *fabric.Region) error {
	if q.Context == "" {
		return nil
	}
	t, err := fabric.ParseToken(q.Context)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(q.WaitMs)*time.Millisecond)
	defer cancel()
	return r.At(ctx, t)
}

// Stamp is what every answer about a region says about the state it is of.
type Stamp struct {
	Context  string `header:"Edgemem-Context" doc:"Token of what this node has seen of the region, for the next request."`
	Complete string `header:"Edgemem-Complete-Up-To" doc:"Until when everything is here that the nodes had which are not dark, RFC 3339; unknown where nothing can be said."`
	Source   string `header:"Edgemem-Source" doc:"Id of the node that answered, where the one that was asked has no copy of the region."`
	Missing  string `header:"Edgemem-Missing" doc:"With Edgemem-Source: how many writes are missing there that were made through the node that was asked. Absent: none."`
	Dark     string `header:"Edgemem-Dark" doc:"How many nodes have not been heard of for ten minutes: they may hold writes that nobody has seen."`
}

// tokenMax bounds the token in a header; a longer one, of some 650 origins, is left out, because programs between may not pass it on.
const tokenMax = 16 << 10

// stamp describes the state that an answer was made of. It is taken after the answer.
func (s *server) stamp(r *fabric.Region) Stamp {
	out := s.fresh.of(s.f, r.Name(), s.now())
	if t := r.Token().String(); len(t) <= tokenMax {
		out.Context = t
	}
	return out
}

// How long what is known of other nodes is told again before it is looked up anew, which takes time in proportion to them.
const (
	freshFor = 250 * time.Millisecond
	freshMax = 256 // regions
)

// freshness remembers for a moment how complete regions are.
type freshness struct {
	mu    sync.Mutex
	since time.Time
	known map[string]Stamp
}

func (x *freshness) of(f *fabric.Fabric, region string, now time.Time) Stamp {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.known == nil || now.Sub(x.since) > freshFor || len(x.known) >= freshMax {
		x.known, x.since = map[string]Stamp{}, now
	}
	out, ok := x.known[region]
	if !ok {
		out = completeness(f, region)
		x.known[region] = out
	}
	return out
}

func completeness(f *fabric.Fabric, region string) Stamp {
	status, err := f.RegionStatus(region)
	if err != nil {
		return Stamp{}
	}
	out := Stamp{Complete: "unknown", Dark: strconv.Itoa(len(status.Complete.Dark))}
	if at := status.Complete.UpTo; !at.IsZero() {
		out.Complete = at.UTC().Format(time.RFC3339Nano)
	}
	return out
}
