package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// ErrScenario says that a file does not describe a scenario.
var ErrScenario = errors.New("scenario: bad file")

// Limits of what a file may ask for.
const (
	nodesMax = 10_000
	limitMax = Duration(24 * time.Hour)
)

// Duration is a time.Duration that a file writes as "250ms".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	x, err := time.ParseDuration(string(b))
	*d = Duration(x)
	return err
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Scenario is one file.
type Scenario struct {
	Name  string
	About string
	Seed  uint64
	Limit Duration // virtual time after which the run ends, converged or not

	Tier    []Tier
	Overlay Overlay
	Gossip  Gossip
	Pull    Pull
	Start   Content
	Load    []Load
	Event   []Event
	Expect  Expect
}

// Tier is a kind of nodes, and what their access to the network is like. A link has the delay and loss of both its
// ends.
type Tier struct {
	Name     string
	Nodes    int
	Attach   string // the tier whose nodes these hang on; without it they form the overlay
	LinksMin int    `toml:"links_min"` // to how many of them; default 1
	LinksMax int    `toml:"links_max"`
	Delay    Duration
	Jitter   Duration
	UpMbit   float64 `toml:"up_mbit"`   // default 1000
	DownMbit float64 `toml:"down_mbit"` // default 1000
	Loss     float64 // share of gossip frames that are lost; a stream sends the lost part again, a round trip later
}

// Overlay is how the servers are connected: a random regular graph.
type Overlay struct {
	Connections int // of a server; default 8
}

// Gossip is how pushes spread among the servers: each forwards what is new to its mesh, part of its connections.
type Gossip struct {
	Degree     int      // of the mesh; default 4
	RelayDelay Duration `toml:"relay_delay"` // what a node takes to check and forward a frame; default 100µs
	Window     Duration // between two pushes of one node; default 2ms
	DontWant   int      `toml:"dont_want_bytes"` // frames of this size or more are announced to the mesh, which then sends no copy; 0: never
}

// Pull is when nodes pull and how many they serve.
type Pull struct {
	Serving    int      // pulls served at once; default 8
	Slow       int      // and beside them, of those that take long; default 24
	Line       int      // pulls that wait for a place; more are sent away for a while. Default 64
	LineWait   Duration `toml:"line_wait"` // for which they wait at most; default 1s
	Every      Duration // how often a quiet peer is asked; default 30s
	EveryMax   Duration `toml:"every_max"`   // up to which that doubles while nothing changes; default 5m
	ChunkBytes int      `toml:"chunk_bytes"` // default 262144
}

// Content is what every node holds when the run begins.
type Content struct {
	Entries    int
	ValueBytes int  `toml:"value_bytes"` // default 100
	Writers    int  // default 1
	MaxGhosts  int  `toml:"max_ghosts"` // removes that a node remembers; default 65536
	Down       bool // all nodes are off the network at first
}

// Load is a stream of writes.
type Load struct {
	From, For  Duration
	Rate       float64 // writes a second, over all writers; 0: one write by each writer at From
	Writers    int     // default 1
	Tier       string  // of the writers; default any
	Keys       int     // that they choose from; default 1000
	ValueBytes int     `toml:"value_bytes"` // default 100
	Removes    float64 // share of removes
}

// Event is a fault, or its end.
type Event struct {
	At    Duration
	Do    string   // partition, heal, unplug, plug, restart, wipe, roam
	Tier  string   // of the nodes that it meets; default all
	Share float64  // of these; default 1
	Parts int      // of a partition; default 2
	Every Duration // repeated so often
	For   Duration // for so long
	Lasts Duration // unplug, restart, wipe: ends by itself
}

// Expect is what must come out. What is 0 is not checked.
type Expect struct {
	Within       Duration // from the last write or event to equal replicas everywhere
	Hops         float64  // of any write, as a multiple of log_D N
	ServerCopies float64  `toml:"server_copies"` // of a pushed frame, mean
	DeviceCopies float64  `toml:"device_copies"`
	Served       int      // pulls served at once by any node
	PeakMbit     float64  `toml:"peak_mbit"`      // out of any node, over a second
	NodeBytesMax int64    `toml:"node_bytes_max"` // in and out of any node, over the run
}

// LoadFile reads a scenario file. Errors: ErrScenario, or the file's.
func LoadFile(name string) (*Scenario, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	s, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// Parse reads a scenario. Errors: ErrScenario.
func Parse(text []byte) (*Scenario, error) {
	s := &Scenario{}
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("%w: unknown settings:\n%s", ErrScenario, strict.String())
		}
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	s.defaults()
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	return s, nil
}

func or[T comparable](x *T, otherwise T) {
	var zero T
	if *x == zero {
		*x = otherwise
	}
}

func (s *Scenario) defaults() {
	or(&s.Seed, 1)
	or(&s.Limit, Duration(10*time.Minute))
	for i := range s.Tier {
		t := &s.Tier[i]
		or(&t.UpMbit, 1000)
		or(&t.DownMbit, 1000)
		or(&t.LinksMin, 1)
		or(&t.LinksMax, t.LinksMin)
	}
	or(&s.Overlay.Connections, 8)
	or(&s.Gossip.Degree, 4)
	or(&s.Gossip.RelayDelay, Duration(100*time.Microsecond))
	or(&s.Gossip.Window, Duration(2*time.Millisecond))
	or(&s.Pull.Serving, 8)
	or(&s.Pull.Slow, 24)
	or(&s.Pull.Line, 64)
	or(&s.Pull.LineWait, Duration(time.Second))
	or(&s.Pull.Every, Duration(30*time.Second))
	or(&s.Pull.EveryMax, Duration(5*time.Minute))
	or(&s.Pull.ChunkBytes, 256<<10)
	or(&s.Start.ValueBytes, 100)
	or(&s.Start.Writers, 1)
	for i := range s.Load {
		l := &s.Load[i]
		or(&l.Writers, 1)
		or(&l.Keys, 1000)
		or(&l.ValueBytes, 100)
	}
	for i := range s.Event {
		or(&s.Event[i].Share, 1)
		or(&s.Event[i].Parts, 2)
	}
}

func (s *Scenario) validate() error {
	total, tiers := 0, map[string]*Tier{"": nil}
	for i := range s.Tier {
		t := &s.Tier[i]
		if t.Name == "" || tiers[t.Name] != nil || t.Nodes < 1 {
			return fmt.Errorf("tier %d: want a name of its own and 1 or more nodes, have %q and %d", i, t.Name, t.Nodes)
		}
		if tiers[t.Attach] == nil && t.Attach != "" || t.Attach != "" && tiers[t.Attach].Attach != "" {
			return fmt.Errorf("tier %s: attach = %q is no tier of servers above it", t.Name, t.Attach)
		}
		if t.LinksMin < 1 || t.LinksMax < t.LinksMin || t.Loss < 0 || t.Loss >= 1 || t.UpMbit < 0 || t.DownMbit < 0 {
			return fmt.Errorf("tier %s: links %d to %d, loss %v, %v Mbit up, %v down", t.Name, t.LinksMin, t.LinksMax, t.Loss, t.UpMbit, t.DownMbit)
		}
		tiers[t.Name] = t
		total += t.Nodes
	}
	switch {
	case s.Name == "":
		return errors.New("name is empty")
	case total < 2 || total > nodesMax:
		return fmt.Errorf("%d nodes: want 2 to %d", total, nodesMax)
	case s.Limit < 0 || s.Limit > limitMax:
		return fmt.Errorf("limit = %v: want up to %v", time.Duration(s.Limit), time.Duration(limitMax))
	case s.Gossip.Degree < 2 || s.Overlay.Connections < s.Gossip.Degree:
		return fmt.Errorf("gossip.degree = %d: want 2 to overlay.connections = %d", s.Gossip.Degree, s.Overlay.Connections)
	}
	for i, l := range s.Load {
		if _, ok := tiers[l.Tier]; !ok || l.Rate < 0 || l.Rate > 0 && l.For <= 0 || l.Writers < 1 || l.Keys < 1 || l.ValueBytes < 0 {
			return fmt.Errorf("load %d: %+v", i, l)
		}
	}
	for i, e := range s.Event {
		if _, ok := tiers[e.Tier]; !ok || happens[e.Do] == nil || e.Share <= 0 || e.Share > 1 || e.Parts < 2 || e.For > 0 && e.Every <= 0 {
			return fmt.Errorf("event %d: %+v", i, e)
		}
	}
	return nil
}
