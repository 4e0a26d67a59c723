package mixed

// yesterday is the version that today's must work with. It is a commit of the main branch, in full.
//
// Move it to the newest commit of main
//
//   - after each release, to the commit that was released: then what users run is what is tested;
//   - in the commit after one that changed the wire or the disk without a way back, which takes a new wireVersion or
//     recordVersion in package crdt, or a new protocol name in package p2p, unless nobody runs the old one yet.
//
// A test here that fails after a change elsewhere is no reason to move it: it says that users who upgrade one node of a
// fabric would see that failure.
const yesterday = "ea9c6446a0913d46a4031d8b4a48c17d92aee7d9"

// ancient spoke version 1 of the wire. It stays: what happens when wires differ must not depend on luck.
const ancient = "5e6bd7fe368a85c3cf72e943a67cdb400fa2bb31"
