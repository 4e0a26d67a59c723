// Package tiers is the pure side of placement: what a tier is, and, as they come, the policies that decide which
// node holds which region. It observes and decides; it does no I/O, reads no clock and starts nothing.
package tiers
