package resp

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Clients that wait for a key to hold something: BLPOP and its relatives, and XREAD, which leaves to others what it reads.
//
// A command that finds nothing puts its client into the queues of its keys, and the client's goroutine parks. Whoever
// brings something runs the command again in the client's place, within the same Apply, so that nobody comes in between: a
// client of this node after its own write (client.serveWaiting), the feed of the region's changes after all others
// (Server.serveWaiters): merges, and writes that did not come by this protocol. The first that waits is served first.
//
//	arming ──park──► waiting ◄──► serving ──► served
//	   └───────────────┴── timeout, CLIENT UNBLOCK, lost connection ──► left

// waiter is one client that waits.
type waiter struct {
	c        *client
	region   *fabric.Region
	keys     []string
	deadline time.Time      // zero: none
	nothing  func()         // writes what a timeout answers
	readers  []streamReader // of XREAD: where each stream was when it began to wait

	state  waiterState // guarded, as all below, by waitQueues.mu
	nudged bool        // something came while it was arming
	fault  string      // the error that it leaves with; empty: none
	commit fabric.Commit
	err    error // of the Apply in which it was served
}

type waiterState uint8

const (
	waiterArming waiterState = iota // its command has found nothing, and its goroutine is on its way to park
	waiterWaiting
	waiterServing // somebody runs its command
	waiterServed
	waiterLeft
)

// waitQueues are the clients that wait, by key, each queue in the order in which they came.
type waitQueues struct {
	interest atomic.Int64 // clients that wait, or are about to: while there are any, regions are followed

	mu      sync.Mutex
	changed sync.Cond // a queue, or the state of a waiter
	of      map[trackKey][]*waiter
	waiting int
}

// waitKeyBytesMax bounds the keys that one client waits for.
const (
	waitKeyBytesMax  = 1 << 20
	waitKeyOverhead  = 128
	errTooManyWaited = "ERR the keys to wait for are longer than 1 MiB"
)

// add puts a waiter into the queues of its keys. From then on CLIENT LIST shows it, and CLIENT UNBLOCK finds it.
func (q *waitQueues) add(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.changed.Broadcast()
	w.c.noteWaiter(w)
	if q.of == nil {
		q.of = make(map[trackKey][]*waiter)
	}
	q.waiting++
	for _, key := range w.keys {
		k := trackKey{w.region, key}
		q.of[k] = append(q.of[k], w)
	}
}

// remove takes a waiter out of its queues; the caller holds mu.
func (q *waitQueues) remove(w *waiter) {
	defer q.changed.Broadcast()
	q.waiting--
	for _, key := range w.keys {
		k := trackKey{w.region, key}
		i := slices.Index(q.of[k], w)
		if q.of[k] = slices.Delete(q.of[k], i, i+1); len(q.of[k]) == 0 {
			delete(q.of, k)
		}
	}
}

// blocked counts the clients that wait.
func (q *waitQueues) blocked() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// any says whether somebody waits for a key.
func (q *waitQueues) any(region *fabric.Region, key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.of[trackKey{region, key}]) > 0
}

// queue is who waits for a key now.
func (q *waitQueues) queue(region *fabric.Region, key string) []*waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.of[trackKey{region, key}])
}

// claim makes the caller the one that runs the waiter's command.
func (q *waitQueues) claim(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.nudged = w.nudged || w.state == waiterArming
	if w.state != waiterWaiting {
		return false
	}
	w.state = waiterServing
	return true
}

// release takes a claim back: there was nothing for it.
func (q *waitQueues) release(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.state = waiterWaiting
	q.changed.Broadcast()
}

// serve gives what the keys hold to those who wait for them, and returns them. It runs within an Apply of the region; deliver
// must follow it.
func (q *waitQueues) serve(region *fabric.Region, tx *crdt.Tx, keys []string) (served []*waiter) {
	for ; len(keys) > 0; keys = keys[1:] {
		for _, w := range q.queue(region, keys[0]) {
			if tx.Kind(keys[0]) == crdt.KindNone {
				break
			}
			if !q.claim(w) {
				continue
			}
			if !w.try(tx) {
				q.release(w)
				continue
			}
			served = append(served, w)
			q.mu.Lock()
			q.remove(w)
			q.mu.Unlock()
			keys = append(keys, w.c.writtenKeys()...) // BLMOVE fills another list
		}
	}
	return served
}

// deliver lets those go on who were served, once the Apply is over.
func (q *waitQueues) deliver(served []*waiter, commit fabric.Commit, err error) {
	for _, w := range served {
		q.mu.Lock()
		w.state, w.commit, w.err = waiterServed, commit, err
		q.changed.Broadcast()
		q.mu.Unlock()
		w.wake()
	}
}

// leave ends the wait, unless the client was served: then that stands. It waits while somebody is about it.
func (q *waitQueues) leave(w *waiter) (left bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w.state == waiterServing {
		q.changed.Wait()
	}
	if w.state == waiterArming || w.state == waiterWaiting {
		w.state = waiterLeft
		q.remove(w)
	}
	return w.state == waiterLeft
}

// arm says that the client's goroutine is parked; again reports that something came before.
func (q *waitQueues) arm(w *waiter) (again bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.state == waiterArming {
		w.state = waiterWaiting
	}
	return w.nudged
}

// ended says that the client needs to wait no more.
func (q *waitQueues) ended(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return w.state == waiterServed || w.state == waiterLeft
}

// dismiss ends a wait for another reason than that something came. It reports whether the client waited.
func (q *waitQueues) dismiss(w *waiter, fault string) bool {
	q.mu.Lock()
	ends := w.state == waiterWaiting || w.state == waiterArming
	if ends {
		w.state, w.fault = waiterLeft, fault
		q.remove(w)
	}
	q.mu.Unlock()
	if ends {
		w.wake()
	}
	return ends
}

// abandon ends every wait in a region.
func (q *waitQueues) abandon(region *fabric.Region, fault string) {
	for _, w := range q.inRegion(region) {
		q.dismiss(w, fault)
	}
}

// inRegion lists who waits in a region, the first of each queue first.
func (q *waitQueues) inRegion(region *fabric.Region) (all []*waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	seen := make(map[*waiter]bool)
	for k, queue := range q.of {
		for _, w := range queue {
			if k.region == region && !seen[w] {
				seen[w] = true
				all = append(all, w)
			}
		}
	}
	return all
}

// try runs the waiter's command again, into the buffer of its client, whose goroutine is parked. It reports whether that found something.
func (w *waiter) try(tx *crdt.Tx) bool {
	c := w.c
	c.begin()
	c.parked = false
	c.runWrite(tx)
	if c.parked {
		return false
	}
	c.tellUnread(&tx.View)
	c.finish()
	return true
}

// wake interrupts the read in which the client's goroutine is parked.
func (w *waiter) wake() { _ = w.c.conn.SetReadDeadline(time.Unix(1, 0)) }

// serveWaiters gives what a key holds to those who wait for it. It must not be called under the region's lock.
func (s *Server) serveWaiters(region *fabric.Region, keys ...string) {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !s.queues.any(region, key) })
	if len(keys) == 0 {
		return
	}
	var served []*waiter
	commit, err := region.ApplyShrinking(func(tx *crdt.Tx) error {
		served = s.queues.serve(region, tx, keys)
		return nil
	})
	s.queues.deliver(served, commit, err)
}

// serveAll does so for every key of a region: changes were missed.
func (s *Server) serveAll(region *fabric.Region) {
	var keys []string
	for _, w := range s.queues.inRegion(region) {
		keys = append(keys, w.keys...)
	}
	s.serveWaiters(region, keys...)
}

// writtenKeys are those that the command under way may have written.
func (c *client) writtenKeys() (keys []string) {
	for _, i := range c.written() {
		keys = append(keys, string(c.args[i]))
	}
	return keys
}

// serveWaiting serves those who wait for what the command under way has written, within its Apply.
func (c *client) serveWaiting(tx *crdt.Tx) {
	if c.srv.queues.interest.Load() > 0 {
		c.served = append(c.served, c.srv.queues.serve(c.region, tx, c.writtenKeys())...)
	}
}

// deliverServed follows the Apply.
func (c *client) deliverServed(commit fabric.Commit, err error) {
	if len(c.served) > 0 {
		c.srv.queues.deliver(c.served, commit, err)
		clear(c.served)
		c.served = c.served[:0]
	}
}
