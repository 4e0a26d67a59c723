package crdt

// Event is what can happen to a region: Write, Arrived, Asked, Answered or Timer. Step is the one door for
// drivers that replay, such as the simulation; it calls the same methods that others call directly.
type Event interface{ event() }

// Write is a local transaction.
type Write struct{ Fn func(*Tx) error }

// Arrived is a pushed message.
type Arrived struct{ Msg []byte }

// Asked is a peer's Hello: it wants to pull.
type Asked struct{ Msg []byte }

// Answered is one chunk of a pull of ours.
type Answered struct {
	To  *Receiver
	Msg []byte
}

// Timer says that time has passed.
type Timer struct{}

func (Write) event()    {}
func (Arrived) event()  {}
func (Asked) event()    {}
func (Answered) event() {}
func (Timer) event()    {}

// Effects is what the driver must do after a Step, or may.
type Effects struct {
	Commit []Record // to be made durable, together
	Push   [][]byte // to be sent to all peers, in order
	Answer *Pull    // the peer's pull, to be sent chunk by chunk
	Behind bool     // the peer that asked has writes that we lack: pull from it
	Gap    bool     // a push was missed: pull
	More   bool     // call again with Timer at once
}

// Step applies one event at now, Unix milliseconds, and gives its effects. It does no I/O and takes no
// time from elsewhere: equal events give equal effects.
func (r *Region) Step(ev Event, now int64) (Effects, error) {
	var fx Effects
	var err error
	switch ev := ev.(type) {
	case Write:
		err = r.Update(now, ev.Fn)
	case Arrived:
		fx.Gap, err = r.Push(ev.Msg, now)
	case Asked:
		var peer *Seen
		if peer, err = DecodeHello(ev.Msg); err == nil {
			fx.Answer, fx.Behind = r.NewPull(peer), !r.Covers(peer.Context)
		}
	case Answered:
		err = ev.To.Merge(ev.Msg, now)
	case Timer:
		fx.More = r.Tick(now)
	}
	fx.Push = r.TakePush()
	if r.Dirty() {
		fx.Commit = r.TakeDirty()
	}
	return fx, err
}
