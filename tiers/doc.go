// Package tiers is the pure side of placement and memory: what a tier is, and the policies that decide which node
// holds which region. It observes and decides; it does no I/O, reads no clock and starts nothing. Below it:
//
//	offheap    pools of bytes outside the Go heap, with an account of each; these do talk to the system
//	pressure   how short memory is, what to do about it, and what each region gives back
//	evict      which values leave memory first
//	place      which nodes hold a region, and why
package tiers
