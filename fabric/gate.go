package fabric

import (
	"context"
	"slices"
	"sync"
	"time"
)

// What answering pulls may cost a node, whoever asks: servingMax pulls are answered at once, and slowMax more that took
// longer than placeTurn while others waited. lineMax wait for a place, for lineWait at most, so that they soon try another
// peer; the rest are told when to come back, and hold nothing here. Each answered pull holds two chunks.
const (
	servingMax = 8
	slowMax    = 24
	lineMax    = 64
	lineWait   = time.Second
	placeTurn  = 3 * time.Second

	busyMin = 200 * time.Millisecond // what a puller is told to wait, before jitter
	busyMax = 30 * time.Second
)

// gate admits pulls. Those that it sends away get the times at which places will be free, one after the other, so that they
// do not come back together.
type gate struct {
	mu     sync.Mutex
	served int
	slow   int
	line   []*arrival
	takes  time.Duration // how long a place is held, smoothed
	booked time.Time     // the last time that somebody was given

	peak    int // of served and slow
	refused uint64
}

// arrival waits in the line.
type arrival struct{ place chan *place } // capacity 1: it gets one place

// place is the right to be served.
type place struct {
	g     *gate
	since time.Time
	slow  bool
}

// enter gives a place, or says when to come back.
func (g *gate) enter(ctx context.Context) (p *place, retry time.Duration, err error) {
	g.mu.Lock()
	if g.served < servingMax && len(g.line) == 0 {
		defer g.mu.Unlock()
		return g.admit(), 0, nil
	}
	if len(g.line) >= lineMax {
		defer g.mu.Unlock()
		return nil, g.book(), nil
	}
	a := &arrival{make(chan *place, 1)}
	g.line = append(g.line, a)
	g.mu.Unlock()
	return g.await(ctx, a)
}

func (g *gate) await(ctx context.Context, a *arrival) (p *place, retry time.Duration, err error) {
	t := time.NewTimer(lineWait)
	defer t.Stop()
	select {
	case p = <-a.place:
		return p, 0, nil
	case <-t.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.line, a); i >= 0 {
		g.line = slices.Delete(g.line, i, i+1)
		return nil, g.book(), err
	}
	return <-a.place, 0, nil // it came in the same moment
}

// admit takes a place. The caller holds mu.
func (g *gate) admit() *place {
	g.served++
	g.peak = max(g.peak, g.served+g.slow)
	return &place{g: g, since: time.Now()}
}

// next gives free places to the line. The caller holds mu.
func (g *gate) next() {
	for len(g.line) > 0 && g.served < servingMax {
		g.line[0].place <- g.admit()
		g.line = g.line[1:]
	}
}

// book gives the time until a place may be free for one more. The caller holds mu.
func (g *gate) book() time.Duration {
	g.refused++
	now, each := time.Now(), g.takes/servingMax
	if soon := now.Add(each * time.Duration(len(g.line))); g.booked.Before(soon) {
		g.booked = soon
	}
	if g.booked = g.booked.Add(each); g.booked.After(now.Add(busyMax)) {
		g.booked = now.Add(busyMax)
	}
	return max(g.booked.Sub(now), busyMin)
}

// freed counts how long a place was held. The caller holds mu.
func (g *gate) freed(p *place) {
	g.takes += (time.Since(p.since) - g.takes) / 8
	g.served--
	g.next()
}

// yield is called while an answer goes on. One that takes long leaves its place to those who wait, and goes on beside them;
// if there are too many such answers already it must end, and retry says when the puller may come back for the rest. One
// of which a part is of no use goes on in its place.
func (p *place) yield(inParts bool) (goOn bool, retry time.Duration) {
	g := p.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.slow || len(g.line) == 0 || time.Since(p.since) < placeTurn {
		return true, 0
	}
	if g.slow >= slowMax {
		if !inParts {
			return true, 0
		}
		return false, g.book()
	}
	p.slow = true
	g.slow++
	g.freed(p)
	return true, 0
}

func (p *place) leave() {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	if p.slow {
		p.g.slow--
		return
	}
	p.g.freed(p)
}

// GateStats is how busy a node is with answering pulls.
type GateStats struct {
	Serving int    `json:"serving"`
	Waiting int    `json:"waiting"`
	Peak    int    `json:"serving_peak"` // the most at once since Open
	Refused uint64 `json:"refused"`      // told to come back later
}

func (g *gate) stats() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GateStats{g.served + g.slow, len(g.line), g.peak, g.refused}
}
