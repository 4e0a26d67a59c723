package control

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/doctor"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/profile"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/p2p"
	"github.com/edgemem/edgemem/persist"
)

// SyncStats counts pushes and pulls since the daemon started.
type SyncStats = fabric.SyncStats

// Member is a node of the fabric, this one or another, as this node knows it.
type Member = fabric.NodeStatus

// Alarm is something that a person should look at, here or at another member.
type Alarm = fabric.Alarm

// ScrubReport is what one scrub found.
type ScrubReport = fabric.ScrubReport

// Region is one region of the fabric as this node holds it. Its context is spelled out, so that it can
// be read back.
type Region struct {
	fabric.RegionStatus
	Context map[string]Runs `json:"context"` // by origin, 32 hexadecimal digits
}

// Runs are the writes of one origin that were seen: all up to Base, and the ranges above it.
type Runs struct {
	Base  uint64      `json:"base"`
	Above [][2]uint64 `json:"above,omitempty"` // first and last
}

// RegionOf spells a status out.
func RegionOf(s fabric.RegionStatus) Region {
	r := Region{s, make(map[string]Runs, len(s.Context))}
	for origin, runs := range s.Context {
		out := Runs{Base: uint64(runs.Base)}
		for _, a := range runs.Above {
			out.Above = append(out.Above, [2]uint64{uint64(a.Lo), uint64(a.Hi)})
		}
		r.Context[hex.EncodeToString(origin[:])] = out
	}
	return r
}

// RegionUsage says what a region is made of, in memory and on disk.
type RegionUsage = fabric.RegionUsage

// Explanation says where a region's copies are, and why.
type Explanation = fabric.Explanation

// RegionOptions say how a region is to be. What is empty or 0 stays as it is; bytes of -1 are none.
type RegionOptions struct {
	Ack          string `json:"ack,omitempty"`         // memory, disk, quorum or all
	Consistency  string `json:"consistency,omitempty"` // eventual or causal
	Priority     string `json:"priority,omitempty"`    // guaranteed, burstable or best-effort
	QuotaBytes   int64  `json:"quota_bytes,omitempty"`
	ReserveBytes int64  `json:"reserve_bytes,omitempty"`

	QueueWrites *bool `json:"queue_writes,omitempty"` // null: as it is

	Placement string            `json:"placement,omitempty"` // everywhere, demand or pinned
	MinCopies int               `json:"min_copies,omitempty"`
	Tiers     []string          `json:"tiers"`  // null: as it is; empty: all
	Labels    map[string]string `json:"labels"` // null: as it is; empty: none
}

// Peer is another member that this node knows. What has to do with a connection is empty without one.
type Peer struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Tier      string    `json:"tier"`
	Connected bool      `json:"connected"`
	RTTMillis float64   `json:"rtt_ms"`
	Addrs     []string  `json:"addrs"` // the peer's own, as it last signed them
	Addr      string    `json:"addr,omitempty"`
	Transport string    `json:"transport,omitempty"` // tcp, quic or relay
	Relay     string    `json:"relay,omitempty"`     // id of the member that the connection goes through
	Limited   bool      `json:"limited,omitempty"`   // by the relay, in bytes and time
	Direction string    `json:"direction,omitempty"` // out if this node dialled, else in
	Since     time.Time `json:"since,omitzero"`      // when the connection began
	LastSeen  time.Time `json:"last_seen,omitzero"`
	Expiry    time.Time `json:"expiry"` // of its certificate
}

// PeerOf takes over what the mesh knows.
func PeerOf(p p2p.PeerStatus) Peer {
	return Peer{
		ID: string(p.ID), Name: p.Name, Tier: p.Tier, Connected: p.Connected, RTTMillis: float64(p.RTT) / float64(time.Millisecond),
		Addrs: p.Addrs, Addr: p.Addr, Transport: p.Transport, Direction: p.Direction,
		Relay: string(p.Relay), Limited: p.Limited, Since: p.Since, LastSeen: p.LastSeen, Expiry: p.Expiry,
	}
}

// SocketName is the socket's file in the data directory.
const SocketName = "edgemem.sock"

// Status is what `edgemem status -o json` prints.
type Status struct {
	Node    Node     `json:"node"`
	Alarms  []Alarm  `json:"alarms"` // none: all is well
	Nodes   []Member `json:"nodes"`
	Peers   []Peer   `json:"peers"`
	Regions []Region `json:"regions"`
}

// Memory is what the node takes of its machine's memory.
type Memory struct {
	fabric.MemoryStatus
	Plan          string `json:"plan,omitempty"` // why the budget is what it is
	GoLimit       int64  `json:"go_limit_bytes"` // what the Go runtime keeps to beside the budget; 0: none
	HeapBytes     int64  `json:"heap_bytes"`     // live objects of the Go heap
	ResidentBytes int64  `json:"resident_bytes"` // of the process; 0: the system does not tell
}

// Node is the daemon that answers.
type Node struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	Tier          string            `json:"tier"`
	Profile       Profile           `json:"profile"`
	RESP          string            `json:"resp"` // host:port, unix:PATH, or "off"
	HTTP          string            `json:"http"` // host:port, unix:PATH, or "off"
	Listen        []string          `json:"listen"`
	Relayed       []string          `json:"relayed,omitempty"` // addresses through relays
	Fabric        string            `json:"fabric"`
	Origin        string            `json:"origin"` // of this incarnation, 32 hexadecimal digits
	Version       string            `json:"version"`
	PID           int               `json:"pid"`
	DataDir       string            `json:"data_dir"`
	Ready         bool              `json:"ready"`
	Offline       bool              `json:"offline"`
	UptimeSeconds float64           `json:"uptime_s"`
	Memory        Memory            `json:"memory"`
	Bandwidth     Bandwidth         `json:"bandwidth"`
	Disk          Disk              `json:"disk"`
	Sync          SyncStats         `json:"sync"`
	Scrub         fabric.ScrubStats `json:"scrub"`
}

// Profile is what the node was fitted to, and how.
type Profile struct {
	profile.Profile
	Settings []profile.Row `json:"settings"`
}

// Disk is how the node's disk is, and what the store takes of it.
type Disk struct {
	fabric.DiskStatus
	persist.Disk
	FreeBytes int64  `json:"free_bytes"`
	Encrypted bool   `json:"encrypted"`
	Failed    string `json:"failed,omitempty"` // why the store takes no more commits until the node is started again
}

// Bandwidth counts the mesh's bytes since the daemon started: on the wire, which is all that TCP and
// QUIC moved without the headers of TCP, UDP and IP; and within it the payload of streams, before
// encryption and multiplexing.
type Bandwidth struct {
	InBytes        int64 `json:"in_bytes"`
	OutBytes       int64 `json:"out_bytes"`
	StreamInBytes  int64 `json:"stream_in_bytes"`
	StreamOutBytes int64 `json:"stream_out_bytes"`
}

// Invitation is a ticket and its end.
type Invitation struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
}

// Entry is one key as read: Value for a string, Members for a set or list, Fields for a hash, and members with their scores for a sorted set. Where any of its
// bytes are no UTF-8, Encoding is "base64" and all of them are so encoded.
type Entry struct {
	Region   string            `json:"region"`
	Key      string            `json:"key"`
	Kind     string            `json:"kind"` // string, set or hash
	Encoding string            `json:"encoding"`
	Value    *string           `json:"value,omitempty"`
	Members  []string          `json:"members,omitempty"`
	Fields   map[string]string `json:"fields,omitempty"`
	Entries  []StreamEntry     `json:"entries,omitempty"` // of a stream
	ExpireAt int64             `json:"expire_at_ms,omitempty"`
}

// StreamEntry is one entry of a stream; its fields are names and values by turns.
type StreamEntry struct {
	ID     string   `json:"id"`
	Fields []string `json:"fields"`
}

// Event says that a key's visible value changed. Kind is "none" when it is gone.
type Event struct {
	Region string `json:"region"`
	Key    string `json:"key"`
	Kind   string `json:"kind"`
	Local  bool   `json:"local"` // written at this node
}

// Retire says how a node is retired.
type Retire struct {
	Force bool `json:"force"` // although it is connected
	Undo  bool `json:"undo"`  // take it back
}

// BackupOptions say what a backup leaves out.
type BackupOptions struct {
	AsNewNode bool // the node's keys and starts
	Plain     bool // encryption, where the store is encrypted
}

// BackupReport is what a backup came to.
type BackupReport = persist.BackupReport

// Checkpoint is what a checkpoint did.
type Checkpoint = persist.Checkpoint

// Backend is what the server needs of a daemon. Errors that wrap ErrNotFound reach the client as such.
type Backend interface {
	Status() Status
	Invite(ttl time.Duration, uses int) (Invitation, error)
	SetOffline(ctx context.Context, offline bool) error
	RetireNode(ctx context.Context, node string, how Retire) (id string, err error)
	Scrub(ctx context.Context, region string) (ScrubReport, error)
	Backup(ctx context.Context, w io.Writer, o BackupOptions) (BackupReport, error)
	Checkpoint(ctx context.Context) (Checkpoint, error)
	Doctor(ctx context.Context) (*doctor.Report, error)
	ClearAlarms(ctx context.Context, kind, node string) (cleared int, err error)
	CreateRegion(ctx context.Context, name string, o RegionOptions) (Region, error)
	ShowRegion(name string) (Region, error)
	RegionUsage(ctx context.Context, name string) (RegionUsage, error)
	DeleteRegion(ctx context.Context, name string) error
	MoveCopy(ctx context.Context, name string, give bool) (Region, error)
	ExplainRegion(ctx context.Context, name string, try *RegionOptions) (Explanation, error)
	Get(ctx context.Context, region, key string) (Entry, error)
	Set(ctx context.Context, region, key string, value []byte) error
	Delete(ctx context.Context, region string, keys []string) (deleted int, err error)
	Increment(ctx context.Context, region, key string, by int64) (int64, error)
	Watch(ctx context.Context, region, prefix string) (iter.Seq2[Event, error], error)
	Lease(ctx context.Context, region, name string, call LeaseCall) (Lease, error)
	Voters() Voters
	SetVoters(ctx context.Context, nodes []string) (Voters, error)
}

// LeaseCall is what is to be done to a lease.
type LeaseCall struct {
	Do    string `json:"do"`               // acquire, renew, release or show
	Token uint64 `json:"token,omitempty"`  // of renew and release
	TTLMs int64  `json:"ttl_ms,omitempty"` // of acquire and renew
	Owner string `json:"owner,omitempty"`  // of acquire
}

// Lease is a lease as a majority of the voters knows it.
type Lease struct {
	Held   bool   `json:"held"`
	Token  uint64 `json:"token"` // of its last holder
	Owner  string `json:"owner"` // what that calls itself
	LeftMs int64  `json:"left_ms"`
}

// Voters is who votes on leases, as far as the node knows.
type Voters struct {
	Epoch    uint64  `json:"epoch"` // how often they were named
	Majority int     `json:"majority"`
	Here     bool    `json:"votes_here"` // the node has a vote
	Voters   []Voter `json:"voters"`
}

// Voter is one of them.
type Voter struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Connected bool   `json:"connected"`
}

var (
	// ErrNotFound means that there is no such key or region.
	ErrNotFound = errors.New("not found")
	// ErrInvalid means that the request cannot be carried out as it was made.
	ErrInvalid = errors.New("invalid request")
	// ErrNoHolder means that the node has no copy of the region, and that no node which has one answers it.
	ErrNoHolder = errors.New("no holder answers")
	// ErrHeld means that somebody else holds the lease, or has held it since.
	ErrHeld = errors.New("lease is not free")
	// ErrNoMajority means that too few voters answer.
	ErrNoMajority = errors.New("no majority")
	// ErrUnreachable means that no daemon answers on the socket.
	ErrUnreachable = errors.New("no daemon is running")
)

// UTF8 says whether all of the texts can stand in JSON as they are.
func UTF8(texts ...string) bool {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return true
}
