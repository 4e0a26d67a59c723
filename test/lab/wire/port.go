package wire

import (
	"container/heap"
	"io"
	"time"
)

// Device is what a port is plugged into: each Read gives one Ethernet frame, each Write takes one. Close ends a Read that waits.
type Device io.ReadWriteCloser

// frameMax is the longest frame, with room for jumbo frames; a longer one is cut by its device.
const frameMax = 9234

// Port is one end of links to all other ports.
type Port struct {
	s    *Switch
	name string
	dev  Device
	out  map[string]*link // by the name of the other end
	wake chan struct{}    // room for one: a wake-up that finds one pending has nothing to add

	flights flights // frames on their way to this port; the switch's lock guards them
	serial  uint64
	closed  bool
}

// flight is a frame with its time of arrival.
type flight struct {
	at     time.Time
	serial uint64 // among equal times, the first sent is the first
	frame  []byte
	link   *link
}

// push queues a frame for arrival. The caller holds the switch's lock.
func (p *Port) push(f flight) {
	p.serial++
	f.serial = p.serial
	heap.Push(&p.flights, f)
	if p.flights[0].serial == f.serial {
		p.signal()
	}
}

func (p *Port) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// receive reads frames from the device until that is closed.
func (p *Port) receive() {
	buf := make([]byte, frameMax)
	for {
		n, err := p.dev.Read(buf)
		if err != nil {
			return
		}
		p.s.forward(p, append([]byte(nil), buf[:n]...))
	}
}

// deliver writes frames to the device, each at its time, until the port is closed.
func (p *Port) deliver() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		frame, wait, open := p.due()
		switch {
		case !open:
			return
		case frame != nil:
			_, _ = p.dev.Write(frame) // a device that is down loses frames, as cards do
			continue
		case wait > 0:
			timer.Reset(wait)
		}
		select {
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// due takes the next frame if its time has come, or says how long that is off; 0: nothing is under way.
func (p *Port) due() (frame []byte, wait time.Duration, open bool) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for !p.closed && len(p.flights) > 0 {
		if wait = time.Until(p.flights[0].at); wait > 0 {
			return nil, wait, true
		}
		f := heap.Pop(&p.flights).(flight)
		if f.link.arrive(f.frame) {
			return f.frame, 0, true
		}
	}
	return nil, 0, !p.closed
}

// flights is a heap by time.
type flights []flight

func (f flights) Len() int      { return len(f) }
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)   { *f = append(*f, x.(flight)) }

func (f flights) Less(i, j int) bool {
	if c := f[i].at.Compare(f[j].at); c != 0 {
		return c < 0
	}
	return f[i].serial < f[j].serial
}

func (f *flights) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = flight{} // the frame is the collector's
	*f = (*f)[:last]
	return x
}
