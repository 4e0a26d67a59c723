package fabric

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// pusher sends local writes to all members. The first write after a quiet window leaves at once; under load
// a region's writes leave once a window, or when a frame is full. Nothing waits for it: when the mesh
// takes less than is written, the writes stay with the region, folded, and beyond outboundMax they are
// left to pulls.
type pusher struct {
	f    *Fabric
	wake chan struct{} // capacity 1: one signal stands for any number

	mu    sync.Mutex
	marks map[*Region]struct{}
	full  atomic.Bool // some region has a frame's worth: do not wait for the window

	rounds chan struct{} // a token: one round at a time

	frames, bytes, skipped atomic.Uint64
}

const (
	pushFull    = 60 << 10 // a frame's worth of local writes
	outboundMax = 8 << 20  // local writes that may wait for the mesh, bytes a region
)

func newPusher(f *Fabric) *pusher {
	return &pusher{f: f, wake: make(chan struct{}, 1), rounds: make(chan struct{}, 1), marks: map[*Region]struct{}{}}
}

// mark notes that the region may have writes to push. The caller holds the region's lock. The bound holds even
// while a round is stuck in the network.
func (p *pusher) mark(r *Region) {
	outbound := r.core.Outbound()
	if outbound > outboundMax {
		p.drop(r)
		return
	}
	if outbound == 0 {
		return
	}
	p.mu.Lock()
	_, known := p.marks[r]
	p.marks[r] = struct{}{}
	p.mu.Unlock()
	if outbound >= pushFull {
		known = p.full.Swap(true) && known
	}
	if !known {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

func (p *pusher) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-p.f.ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		if wait := p.round(p.f.ctx, false); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// flush pushes everything now.
func (p *pusher) flush(ctx context.Context) { p.round(ctx, true) }

// round pushes the regions whose window is over and says how long the next one still waits.
func (p *pusher) round(ctx context.Context, all bool) (wait time.Duration) {
	select {
	case p.rounds <- struct{}{}:
		defer func() { <-p.rounds }()
	case <-ctx.Done():
		return 0
	}
	p.full.Store(false)
	p.mu.Lock()
	regions := sortedRegions(p.marks)
	p.mu.Unlock()
	now := time.Now()
	for _, r := range regions {
		left := p.f.cfg.PushWindow - now.Sub(r.pushed)
		if left > 0 && !all && !r.frameFull() {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		p.mu.Lock()
		delete(p.marks, r)
		p.mu.Unlock()
		p.push(ctx, r)
		r.pushed = now
	}
	return wait
}

func (r *Region) frameFull() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.core.Outbound() >= pushFull
}

// drop leaves a region's writes to the pulls of its peers. The caller holds the region's lock.
func (p *pusher) drop(r *Region) {
	if r.core.DropPush() && p.f.mesh.up.Load() > 0 {
		p.skipped.Add(1)
		p.f.mesh.changed()
	}
}

// selective is a Transport that can spare nodes frames which are not for them, where it sends to each itself.
type selective interface {
	PublishTo(ctx context.Context, frame []byte, wanted func(crdt.NodeID) bool) error
}

// pass publishes what came to this node alone.
func (p *pusher) pass(ctx context.Context, r *Region, frames [][]byte) {
	if p.f.cfg.Transport == nil || r.onlyHere() {
		return
	}
	for _, frame := range frames {
		if p.publish(ctx, r, frame) != nil {
			return // pulls bring it
		}
	}
}

func (p *pusher) publish(ctx context.Context, r *Region, frame []byte) error {
	if t, ok := p.f.cfg.Transport.(selective); ok && r.isPlaced() {
		return t.PublishTo(ctx, frame, r.keptBy)
	}
	return p.f.cfg.Transport.Publish(ctx, frame)
}

// push encodes and publishes one region's writes. With nobody to hear them they are dropped.
func (p *pusher) push(ctx context.Context, r *Region) {
	r.mu.Lock()
	if p.f.mesh.up.Load() == 0 || r.mending || r.onlyHere() {
		p.drop(r)
		r.mu.Unlock()
		return
	}
	frames := r.core.TakePush()
	r.mu.Unlock()
	for _, frame := range frames {
		if err := p.publish(ctx, r, frame); err != nil {
			p.skipped.Add(1)
			p.f.cfg.Logger.Debug("push not published; peers will pull", "region", r.name, "err", err)
			p.f.mesh.changed()
			continue
		}
		p.frames.Add(1)
		p.bytes.Add(uint64(len(frame)))
	}
	p.f.mesh.changed()
}
