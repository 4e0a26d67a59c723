package resp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// ErrUnprotected says that a listener which other machines can reach was given no password.
var ErrUnprotected = errors.New("resp: a listener beyond loopback needs a password")

// ErrConfig is wrapped by the errors of a configuration that cannot work.
var ErrConfig = errors.New("resp: configuration")

// Config is what a server needs. Listener and Fabric are required.
type Config struct {
	Listener net.Listener
	Fabric   *fabric.Fabric

	Auth string // password of the user "default"; empty: none is asked for
	// ACLFile keeps the users, in the form of Redis's; it need not be there before the first ACL SAVE. Empty: they last as long as the
	// server.
	ACLFile     string
	Unprotected bool // serve beyond loopback without a password all the same

	NodeName string // shown by INFO
	Version  string // of edgemem, shown by INFO

	Logger *slog.Logger // default: discard

	// FlushAll lets FLUSHALL empty every region that this node holds, on all nodes. Default: refused,
	// because a test suite that points at the wrong server would empty a mesh.
	FlushAll bool
	// Strict refuses the commands that check before they write (SETNX, SET NX, …), because the check
	// sees this node alone. Default: they work, and their documentation says so.
	Strict bool

	Limits Limits
}

// Limits bound what clients can make the server hold. A zero field takes its default.
type Limits struct {
	Clients       int           // connections at once; default 10,000, as in Redis
	Args          int           // arguments of one command; default 1,048,576
	BulkBytes     int           // one argument; default 64 KiB above the largest value, so that a value a little too large gets an answer, not a closed connection
	CommandBytes  int           // one command; default 32 MiB
	ReplyBytes    int           // one reply; default 64 MiB; beyond it the command fails and names SCAN
	PushBytes     int           // messages that wait for one client; default 8 MiB; beyond it the client is closed
	BufferedBytes int64         // query and reply buffers of all clients beyond their first 64 KiB; default 256 MiB; beyond it the asking client is closed
	WriteStall    time.Duration // a client that takes no byte of its replies for so long is closed; default 30 s
	ReadStall     time.Duration // a client that stops within a command for so long is closed; default 60 s
	Idle          time.Duration // a client that sends nothing for so long is closed; default 0: never, as in Redis
	Drain         time.Duration // how long commands under way may take when the server stops; default 2 s
}

// The defaults of Limits.
const (
	clientsMax       = 10_000
	argsMax          = 1 << 20
	bulkBytesMax     = crdt.MaxValueBytes + 64<<10
	commandBytesMax  = 32 << 20
	replyBytesMax    = 64 << 20
	pushBytesMax     = 8 << 20
	bufferedBytesMax = 256 << 20
	writeStallMax    = 30 * time.Second
	readStallMax     = 60 * time.Second
	drainMax         = 2 * time.Second
)

func (l Limits) withDefaults() Limits {
	l.Clients = orDefault(l.Clients, clientsMax)
	l.Args = orDefault(l.Args, argsMax)
	l.BulkBytes = orDefault(l.BulkBytes, bulkBytesMax)
	l.CommandBytes = orDefault(l.CommandBytes, commandBytesMax)
	l.ReplyBytes = orDefault(l.ReplyBytes, replyBytesMax)
	l.PushBytes = orDefault(l.PushBytes, pushBytesMax)
	l.BufferedBytes = orDefault(l.BufferedBytes, bufferedBytesMax)
	l.WriteStall = orDefault(l.WriteStall, writeStallMax)
	l.ReadStall = orDefault(l.ReadStall, readStallMax)
	l.Drain = orDefault(l.Drain, drainMax)
	return l
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func (l Limits) validate() error {
	for name, v := range map[string]int64{
		"Clients": int64(l.Clients), "Args": int64(l.Args), "BulkBytes": int64(l.BulkBytes),
		"CommandBytes": int64(l.CommandBytes), "ReplyBytes": int64(l.ReplyBytes), "PushBytes": int64(l.PushBytes), "BufferedBytes": l.BufferedBytes,
		"WriteStall": int64(l.WriteStall), "ReadStall": int64(l.ReadStall), "Idle": int64(l.Idle), "Drain": int64(l.Drain),
	} {
		if v < 0 {
			return fmt.Errorf("%w: Limits.%s is negative", ErrConfig, name)
		}
	}
	return nil
}

func (c Config) validate() error {
	switch {
	case c.Listener == nil:
		return fmt.Errorf("%w: Listener is missing", ErrConfig)
	case c.Fabric == nil:
		return fmt.Errorf("%w: Fabric is missing", ErrConfig)
	case c.Auth == "" && !c.Unprotected && !isLocal(c.Listener.Addr()):
		return fmt.Errorf("%w: %v; set one, or listen on 127.0.0.1", ErrUnprotected, c.Listener.Addr())
	}
	return c.Limits.validate()
}

// isLocal says that only this machine can connect to addr.
func isLocal(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}
