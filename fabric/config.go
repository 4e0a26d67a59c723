package fabric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// Sentinel errors. The text around them names the region, key or peer.
var (
	ErrClosed     = errors.New("fabric: closed")
	ErrNoRegion   = errors.New("fabric: no such region")
	ErrRegionName = errors.New("fabric: bad region name")
	ErrTooLarge   = crdt.ErrTooLarge
	ErrNotFound   = errors.New("fabric: no such key")
	ErrNotDurable = errors.New("fabric: write is in memory, but not on disk")
	ErrTooMany    = errors.New("fabric: too many regions")

	// ErrMessageTooLarge: a message is longer than MaxMessage, or a topic is.
	ErrMessageTooLarge = errors.New("fabric: message too large")
	ErrTooManyTopics   = errors.New("fabric: too many topics")
)

// Storage keeps the durable image. persist.Store is one. It may have more:
//
//	PastNonces() ([]crdt.Nonce, error)  // of all incarnations, so that a crash is not taken for a backup that was put back
//	Value(key []byte) ([]byte, error)   // one record: then values leave memory when it is short, see Config.Eviction
//	Private(fn func(key, value []byte) error) (copied bool, err error)  // and CommitPrivate: the node's votes on leases, see privateStorage
//	CommitPrivate(recs []crdt.Record) error
//	Room() error                        // why there is no room for a commit, or nil: then writes are refused, see ErrDiskFull
//
// and an error of Load may have DamagedKey() []byte, the record that cannot be read: a scrub writes it anew. An error of Value that has it
// says that the record is damaged; any other, that it cannot be read for the moment.
type Storage interface {
	// Load gives every record in ascending key order. The slices are valid only during the call.
	Load(fn func(key, value []byte) error) error
	// Commit makes the records durable: all or none, fsynced before it returns.
	Commit(recs []crdt.Record) error
	// NewIncarnation gives the nonce of a new start, durable before it returns: 128 fresh random bits, and a number that is
	// higher than all before, and least at least (crdt.StartNumber).
	NewIncarnation(ctx context.Context, node crdt.NodeID, least uint32) (crdt.Nonce, error)
	Close() error
}

// Transport reaches the other members. p2p.Host is one, and Mesh makes others for tests. It may have
//
//	Met(fn func(id crdt.NodeID, name, tier string, last time.Time))
//
// which gives the members that it knows and when each was connected last, zero for never. Without it members that were
// connected before this process began are known by their records only. And
//
//	PublishTo(ctx context.Context, frame []byte, wanted func(crdt.NodeID) bool) error
//
// which is Publish of what only some members want: the others may get it, too.
type Transport interface {
	Self() crdt.NodeID
	// Serve begins to deliver. onPeer tells when a member becomes reachable and when it is lost.
	// onGossip gives frames, with the neighbour that handed them over; the callee owns the frame.
	// onStream gives streams that peers opened; the callee owns and closes them. The callbacks
	// return soon and are not called after Close returned.
	Serve(onPeer func(peer crdt.NodeID, name, tier string, up bool),
		onGossip func(from crdt.NodeID, frame []byte),
		onStream func(peer crdt.NodeID, s io.ReadWriteCloser)) error
	// Publish sends a frame to every member, at most once each, without a promise.
	Publish(ctx context.Context, frame []byte) error
	// OpenStream opens a stream to a connected member. If it has SetDeadline, deadlines are set.
	OpenStream(ctx context.Context, peer crdt.NodeID) (io.ReadWriteCloser, error)
	Close() error
}

// Confessor is a Transport that may know when it did not deliver pushed frames.
type Confessor interface {
	// OnMissed installs, before Serve, what is to be called when frames that peer was to hand over did not come. It
	// returns at once.
	OnMissed(missed func(peer crdt.NodeID))
}

// Ack says what a write waits for.
type Ack string

// The acknowledgements of a region's writes.
const (
	AckMemory Ack = "memory" // applied here; on disk within CommitEvery
	AckDisk   Ack = "disk"   // its batch is fsynced
	AckQuorum Ack = "quorum" // as disk, and more than half of the holders have merged it, this node among them
	AckAll    Ack = "all"    // as disk, and every holder has merged it
)

// ParseAck reads an Ack.
func ParseAck(s string) (Ack, error) {
	switch a := Ack(s); a {
	case AckMemory, AckDisk, AckQuorum, AckAll:
		return a, nil
	}
	return "", fmt.Errorf("fabric: acknowledgement %q: want memory, disk, quorum or all", s)
}

// DefaultRegion exists on every node.
const DefaultRegion = "default"

// catalogueRegion holds the configuration of the other regions. Names that begin with its prefix are reserved.
const (
	reservedPrefix  = "edgemem."
	catalogueRegion = reservedPrefix + "catalogue"
)

// RegionConfig is what a region is created with.
type RegionConfig struct {
	// Ack is what its writes wait for. Default: as it is, and memory where it is new.
	Ack Ack
	// Consistency is the order in which its writes become visible elsewhere. Default: as it is, and eventual where it is new.
	Consistency Consistency
	// Quota is how many bytes of each node's memory it may take: writes there are refused with ErrQuota when it does. Reserve is how many
	// are kept for it: what it does not use of them counts as used for other regions' writes. Default: as it is, and none where it is new;
	// Unlimited: none.
	Quota, Reserve int64
	// Priority says when it gives way to others as memory runs short. Default: as it is, and burstable where it is new.
	Priority Priority
	// Placement says where its copies are to be.
	Placement Placement
	// QueueWrites lets nodes without a copy that reach no holder keep writes that read nothing until they do, see Region.Queue. Default: as it is, and
	// no where it is new.
	QueueWrites *bool
}

// Config makes a Fabric. The zero value is a memory that is shared with nobody and kept nowhere.
type Config struct {
	// Name and Tier of this node, for status. Tier is device, edge, regional or cloud.
	Name, Tier string
	// Labels say what else this node is, such as site=b or zone=7, for regions that ask for it; see ParseLabels. All members see them, from
	// this node's first write on. Default: none.
	Labels map[string]string
	// Node names this node. Default: what Transport says, else Name, else "local".
	Node crdt.NodeID
	// Storage keeps the state. Nil: memory only, and disk is acknowledged like memory. A successful Open takes it over: Close closes it.
	Storage Storage
	// Transport reaches the other members. Nil: alone. A successful Open takes it over.
	Transport Transport
	// Registerer takes the fabric's Prometheus metrics. Nil: none.
	Registerer prometheus.Registerer
	// Logger. Default: discard.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// PushWindow is the least time between two pushes of one region; the first write after a quiet
	// window leaves at once. Default 2 ms: at 10,000 writes/s twenty share a frame.
	PushWindow time.Duration
	// MaxStaged is how many bytes of a causal region's pull are kept back until the pull is complete, in each session. A larger
	// pull is merged as it comes, and the region is not read meanwhile (ErrLoading). Default 64 MiB.
	MaxStaged int
	// LimitRate is how many bytes a second pulls may move over the link to one peer, each way: 1 KiB to 1 GiB. What a
	// node writes is pushed all the same. Default: 0, no limit.
	LimitRate int
	// HelloEvery is how often a quiet peer is asked whether it has something; doubled while nothing
	// changes, up to HelloMax. Defaults 30 s and 5 min. A hello that finds nothing costs at most 16 bytes each way.
	HelloEvery, HelloMax time.Duration
	// CommitEvery is the longest that a write of a memory region stays off the disk. Default 1 s:
	// one fsync a second while something is written, none otherwise, and keys that change often are written once a second.
	CommitEvery time.Duration
	// MaxBacklog is how many changed cells of a region may wait for the disk before writers wait too. A batch is
	// encoded in memory while it is committed. Default 131,072, which is some 30 MB with values of 100 B; bytes are bounded by
	// the memory budget too.
	MaxBacklog int
	// MaxUnsaved is about how many changed cells are merged while the disk is full; what is beyond waits with the peers. Default: 5
	// times MaxBacklog.
	MaxUnsaved int
	// MaxGhosts is how many removes a region remembers, at about 28 bytes each. Default 65,536.
	MaxGhosts int
	// MaxGhostBytes is how many bytes of memory the removes of a region may take, keys included. Default: 0, no limit.
	MaxGhostBytes int64
	// Lease is for how long a device may be away before removes are forgotten without it; it then compares live entries
	// when it is back, which costs more and loses nothing. Core members, of tier edge and above, have one without end:
	// retire those that will not come back. Default 7 days.
	Lease time.Duration
	// MaxGhostAge is how long a remove is remembered for members that do not come to see it. Default 30 days.
	MaxGhostAge time.Duration
	// ScrubEvery is how long one pass of the scrub takes: it checks what the replicas keep beside their entries, and
	// compares them with those of one connected member, another each time. Default 1 h, less than 0: never.
	ScrubEvery time.Duration
	// MemoryBudget is how many bytes the regions may take, of which MemoryReserve is kept for merges: writes are slowed down and
	// then refused (ErrMemoryFull) when the rest is used up. Default: 0, no limit.
	MemoryBudget, MemoryReserve int64
	// Eviction is the order in which values leave memory for the Storage when the budget runs short: s3fifo, lru, lfu, ttl, or none for
	// never. It needs a Storage that reads single records. Default: s3fifo.
	Eviction string
	// MemorySample tells what the system says of memory: its limit, use and stalls. It is called every second. Default: nothing.
	MemorySample func() pressure.Reading
	// MemoryNodes are the machine's memory nodes, as offheap.ReadNodes gives them. Default: one.
	MemoryNodes []int
	// MemoryChunk is the unit in which memory is mapped: a power of two from 64 KiB to 1 MiB. Small ones suit small budgets. Default 256 KiB.
	MemoryChunk int
	// ManualMoves leaves copies of regions that are not everywhere where they are: they come to this node and go from it only when a program says
	// so (Region.TakeCopy, Region.GiveCopy), and it decides on none elsewhere.
	ManualMoves bool
	// Seed makes jitter repeatable in tests. Default: random.
	Seed uint64

	lack abilities                 // in tests: what this node cannot, as an earlier version
	most int                       // in tests: regions; else maxRegions
	step func(crdt.NodeID, string) // in tests: called between the steps of moves; else nil
}

func (c *Config) validate() error {
	if c.Tier == "" {
		c.Tier = tiers.Device.String()
	}
	if _, err := tiers.Parse(c.Tier); err != nil {
		return fmt.Errorf("fabric: Tier: %w", err)
	}
	if err := checkLabels(c.Labels); err != nil {
		return fmt.Errorf("fabric: Labels: %w", err)
	}
	c.Labels = maps.Clone(c.Labels)
	if c.Node == "" && c.Transport != nil {
		c.Node = c.Transport.Self()
	}
	if c.Node == "" {
		c.Node = crdt.NodeID(c.Name)
	}
	if c.Node == "" {
		c.Node = "local"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	for _, f := range []struct {
		name string
		d    *time.Duration
		def  time.Duration
	}{
		{"PushWindow", &c.PushWindow, 2 * time.Millisecond},
		{"HelloEvery", &c.HelloEvery, 30 * time.Second},
		{"HelloMax", &c.HelloMax, 5 * time.Minute},
		{"CommitEvery", &c.CommitEvery, time.Second},
		{"Lease", &c.Lease, 7 * 24 * time.Hour},
		{"MaxGhostAge", &c.MaxGhostAge, 30 * 24 * time.Hour},
	} {
		if *f.d < 0 {
			return fmt.Errorf("fabric: %s is %v: want more than 0, or 0 for the default of %v", f.name, *f.d, f.def)
		}
		if *f.d == 0 {
			*f.d = f.def
		}
	}
	if c.MaxStaged < 0 {
		return fmt.Errorf("fabric: MaxStaged is %d bytes: want more than 0, or 0 for the default", c.MaxStaged)
	}
	if c.MaxStaged == 0 {
		c.MaxStaged = 64 << 20
	}
	if c.LimitRate != 0 && (c.LimitRate < limitMin || c.LimitRate > limitMax) {
		return fmt.Errorf("fabric: LimitRate is %d bytes a second: want %d to %d, or 0 for none", c.LimitRate, limitMin, limitMax)
	}
	if c.ScrubEvery == 0 {
		c.ScrubEvery = time.Hour
	}
	if c.MaxBacklog < 0 {
		return fmt.Errorf("fabric: MaxBacklog is %d: want more than 0, or 0 for the default", c.MaxBacklog)
	}
	if c.MaxBacklog == 0 {
		c.MaxBacklog = 128 << 10
	}
	if c.MemoryBudget < 0 || c.MemoryReserve < 0 || c.MemoryReserve > c.MemoryBudget {
		return fmt.Errorf("fabric: MemoryBudget is %d, MemoryReserve %d: want a reserve within the budget", c.MemoryBudget, c.MemoryReserve)
	}
	if err := c.checkEviction(); err != nil {
		return err
	}
	if c.MaxUnsaved < 0 {
		return fmt.Errorf("fabric: MaxUnsaved is %d: want more than 0, or 0 for the default", c.MaxUnsaved)
	}
	if c.MaxUnsaved == 0 {
		c.MaxUnsaved = 5 * c.MaxBacklog
	}
	if c.most == 0 {
		c.most = maxRegions
	}
	if c.MaxGhostBytes < 0 {
		return fmt.Errorf("fabric: MaxGhostBytes is %d: want more than 0, or 0 for no limit", c.MaxGhostBytes)
	}
	if c.MaxGhosts < 0 {
		return fmt.Errorf("fabric: MaxGhosts is %d: want more than 0, or 0 for the default", c.MaxGhosts)
	}
	return nil
}

const (
	maxRegions = 1 << 17
)

// CheckRegionName says why a name cannot name a region of a user's, or nil.
func CheckRegionName(name string) error {
	if err := checkRegionName(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, reservedPrefix) {
		return fmt.Errorf("%w: %q: names in %s* are reserved", ErrRegionName, name, reservedPrefix)
	}
	return nil
}

func checkRegionName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrRegionName)
	case len(name) > crdt.MaxRegionName:
		return fmt.Errorf("%w: %.32q… has %d bytes, at most %d", ErrRegionName, name, len(name), crdt.MaxRegionName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not UTF-8", ErrRegionName, name)
	}
	for _, c := range name {
		if !unicode.IsPrint(c) || c == ' ' {
			return fmt.Errorf("%w: %q holds %q", ErrRegionName, name, c)
		}
	}
	return nil
}
