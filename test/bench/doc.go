// Command bench prints the figures that edgemem is to reach, each beside the number of the program it
// is compared with, taken in the same run on the same machine.
//
//	go run ./test/bench [-run REGEXP] [-short] [-rounds N] [-o table|json] [-save FILE] [-list]
//
// # How it measures
//
// A row is one experiment. It has sides: the references first (redis-server, bare gossipsub,
// go-ds-crdt, a Go map), edgemem last. The sides take turns, A B A B, for a number of rounds, so that a
// machine that slows down slows both; a figure is the median of its rounds. Whatever is measured runs
// in a process of its own: what happens inside one process is measured by a probe, which is this
// program started again as
//
//	bench probe NAME [flags]
//
// and go-ds-crdt by the program in dscrdt/, a module of its own. A probe prints one JSON object on its
// last line.
//
//	        ┌── redis-server ◄── redis-benchmark
//	bench ──┼── edgemem run  ◄── redis-benchmark
//	        ├── bench probe …      (fabric, p2p, persist in process; Go map; gossipsub)
//	        └── dscrdt …           (go-ds-crdt in process)
//
// Where bytes on the wire count, the two replicas talk through a TCP proxy of this process that counts
// what passes, with libp2p's own overhead and without TCP's headers.
//
// Fabrics of a thousand nodes are those of the simulator in test/sim, in virtual time; each fails its row when it does
// not come out as its scenario file expects.
//
// Keys have 16 bytes and values 100 random ones, unless the row says otherwise; payload is the sum of
// both. Everything stays on 127.0.0.1, every loop ends by count or by time, and every child dies with
// this process.
//
// # Limits
//
// Client and server share the machine: on two cores redis-benchmark takes a good part of what it
// measures, from both sides alike. -short proves that the rows run; its figures mean nothing.
package main
