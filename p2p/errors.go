package p2p

import "errors"

// Errors that callers tell apart. Each is wrapped once with what happened, to which file, address or
// peer, and what to do about it.
var (
	// ErrConfig: a field of Config is wrong; the text names the field.
	ErrConfig = errors.New("p2p: configuration")
	// ErrListen: a listen address cannot be opened, most often because the port is taken.
	ErrListen = errors.New("p2p: cannot listen")
	// ErrDamaged: a file of the data directory does not hold what was written to it.
	ErrDamaged = errors.New("p2p: damaged file")
	// ErrLocked: another process has this data directory open.
	ErrLocked = errors.New("p2p: data directory is in use")
	// ErrClosed: the host was closed.
	ErrClosed = errors.New("p2p: host is closed")
	// ErrServing: Serve was called a second time.
	ErrServing = errors.New("p2p: Serve was called already")
	// ErrNotConnected: there is no proven connection to the peer now.
	ErrNotConnected = errors.New("p2p: peer is not connected")
	// ErrFrameTooLarge: a gossip frame is longer than MaxFrameBytes.
	ErrFrameTooLarge = errors.New("p2p: gossip frame is too large")

	// ErrNotAuthority: only a node that holds the fabric's authority key can invite.
	ErrNotAuthority = errors.New("p2p: this node does not hold the fabric's authority key")
	// ErrTicketMalformed: the text is not a ticket, or was damaged on the way.
	ErrTicketMalformed = errors.New("p2p: malformed ticket")
	// ErrTicketExpired: the issuer says that the ticket's time is over.
	ErrTicketExpired = errors.New("p2p: ticket has expired")
	// ErrTicketUsed: the issuer says that another node has used the ticket up.
	ErrTicketUsed = errors.New("p2p: ticket has been used")
	// ErrTicketRefused: the issuer does not know the ticket, or answered against the protocol.
	ErrTicketRefused = errors.New("p2p: ticket was refused")
	// ErrTooManyTickets: the issuer has too many tickets outstanding.
	ErrTooManyTickets = errors.New("p2p: too many tickets outstanding")
	// ErrUnreachable: none of the issuer's addresses answered.
	ErrUnreachable = errors.New("p2p: issuer of the ticket is unreachable")
	// ErrOtherFabric: the data directory belongs to another fabric than the ticket.
	ErrOtherFabric = errors.New("p2p: this node belongs to another fabric")

	// ErrCertificate: a certificate is malformed, forged, expired, of another fabric or of another peer.
	ErrCertificate = errors.New("p2p: certificate")
)
