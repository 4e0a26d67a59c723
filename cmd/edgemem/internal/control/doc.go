// Package control is how a command talks to the daemon of its data directory: HTTP and JSON over the
// unix socket edgemem.sock inside that directory, which only the directory's owner may open. Whoever can
// open the socket may do everything, so there is no password.
//
//	command ── Client ──▶ edgemem.sock ──▶ Server ──▶ Backend (the daemon)
//
// The API is one version, /v1, and is for the command line of the same build. Programs use RESP or the
// fabric package; scripts use `edgemem … -o json`, whose shape is the types in api.go and stays.
//
// Bounds: a request's body is at most one value (crdt.MaxValueBytes) and one megabyte for JSON; headers
// 64 KiB, which hold any key; connections maxConns. A watch that cannot keep up ends with an error line
// instead of holding the daemon's memory.
package control
