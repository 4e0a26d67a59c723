package resp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// feeds follow the changes of the regions that some client wants to hear of: by CLIENT TRACKING, by keyspace
// notifications, or because it waits for a key. Each region has one goroutine, which runs until nobody wants to hear of any.
type feeds struct {
	srv *Server

	mu      sync.Mutex
	running map[*fabric.Region]context.CancelFunc
	linger  *time.Timer // nil: none runs; see restSoon
	closed  bool
	wg      sync.WaitGroup
}

// feedsMax bounds the regions that are followed at once. Each takes a queue of some 200 KB.
const feedsMax = 256

// errFeeds answers who wants to hear of one region too many.
var errFeeds = errors.New("the changes of too many regions are followed on this node already")

// follow makes sure that a region is followed, from now on.
func (f *feeds) follow(region *fabric.Region) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running[region] != nil || f.closed {
		return nil
	}
	if len(f.running) >= feedsMax {
		return errFeeds
	}
	if f.running == nil {
		f.running = map[*fabric.Region]context.CancelFunc{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.running[region] = cancel
	events := region.Watch(ctx, "")
	f.wg.Go(func() {
		for ctx.Err() == nil && f.read(region, events) {
			events = region.Watch(ctx, "")
			f.srv.tracking.forgetAll(region) // what changed in between is not known
			f.srv.serveAll(region)
		}
		if ctx.Err() == nil {
			f.srv.queues.abandon(region, "UNBLOCKED the region is no longer here")
		}
	})
	f.wg.Go(func() { f.expire(ctx, region) })
	return nil
}

// followHere follows the region that the client is about to use, if it, or a setting, wants to hear of changes there. It
// must not be called under the region's lock.
func (c *client) followHere(region *fabric.Region) error {
	waits := c.cmd != nil && c.blocks()
	if c.tracked == nil && !c.srv.notifying() && !waits {
		return nil
	}
	err := c.srv.feeds.follow(region)
	if c.tracked == nil && !waits {
		return nil // then merges in this region are not told
	}
	return err
}

// read passes events on until the watch ends; again says that it was too slow, and is to go on.
func (f *feeds) read(region *fabric.Region, events func(func(fabric.WatchEvent, error) bool)) (again bool) {
	events(func(ev fabric.WatchEvent, err error) bool {
		if err != nil {
			again = errors.Is(err, fabric.ErrWatchLagged)
			return false
		}
		f.srv.tracking.invalidate(trackKey{region, ev.Key}, ev.As, ev.Local)
		f.srv.serveWaiters(region, ev.Key)
		if !ev.Local {
			f.srv.notifyRemote(region, ev)
		}
		return true
	})
	if again {
		f.srv.stats.feedLags.Add(1)
		f.srv.log.Warn("resp: changes of a region came faster than they were passed on: clients that track keys forget them all, notifications were lost", "region", region.Name())
	}
	return again
}

// expireEvery is how late an expiry is told to clients that track the key.
const expireEvery = time.Second

// expire tells of keys whose instant has passed: readers do not see them any more, although no write says so yet.
func (f *feeds) expire(ctx context.Context, region *fabric.Region) {
	t := time.NewTicker(expireEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f.srv.tracking.expire(region, time.Now().UnixMilli())
		}
	}
}

// rest ends all feeds when nobody wants to hear of changes.
func (f *feeds) rest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.srv.tracking.clients() > 0 || f.srv.notifying() || f.srv.queues.interest.Load() > 0 {
		return
	}
	for region, cancel := range f.running {
		cancel()
		delete(f.running, region)
	}
}

// feedsLinger is how long feeds outlast who waited for a key: mostly it waits again at once, and to begin anew would cost more than the
// wait.
const feedsLinger = 2 * time.Second

// restSoon is rest, once some time has passed.
func (f *feeds) restSoon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.linger == nil && !f.closed && len(f.running) > 0 {
		f.linger = time.AfterFunc(feedsLinger, f.lingered)
	}
}

func (f *feeds) lingered() {
	f.mu.Lock()
	f.linger = nil
	f.mu.Unlock()
	f.rest()
}

// close ends them for good, and waits.
func (f *feeds) close() {
	f.mu.Lock()
	f.closed = true
	if f.linger != nil {
		f.linger.Stop()
	}
	for _, cancel := range f.running {
		cancel()
	}
	f.running = nil
	f.mu.Unlock()
	f.wg.Wait()
}
