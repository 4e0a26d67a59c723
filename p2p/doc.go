// Package p2p connects the nodes of a fabric: identity, membership, discovery, gossip and sync streams, over
// libp2p on TCP and QUIC. Its Host satisfies fabric.Transport.
//
// # Membership
//
// A fabric is the set of nodes that hold a certificate of one Ed25519 authority. The first node, opened
// without a ticket on an empty directory, makes the authority; it alone can Invite. A ticket names the fabric
// and the issuer, with its addresses and a secret that serves once. A node opened with it dials the issuer,
// and no one else, shows the secret, and gets its certificate: peer id, name, tier, expiry. The certificate
// is checked at the beginning of every connection, on both sides; libp2p has bound the connection to the peer
// id in it, so it serves nobody else. There is no revocation yet: a member is one until its certificate
// expires, ten years on.
//
// # A connection's life
//
//	dialler                                                     listener
//	   │  TCP + TLS 1.3 (or Noise) + yamux, or QUIC                │   gate.go: mode, penalties,
//	   ├───────────────────────────────────────────────────────────┤   unproven connections, per address
//	   │                                                           │
//	   │  stranger: any stream but member and join is reset        │   links.go: the door
//	   │                                                           │
//	   ├─ /edgemem/member/1  hello{certificate, addresses} ───────▶│   proof.go
//	   │                                                           │   checked: admitted, may open streams
//	   │◀────────────────────── hello{certificate, addresses} ─────┤
//	   │  checked: proven                                          │
//	   ├─ agreed ─────────────────────────────────────────────────▶│   proven
//	   │                                                           │
//	   │  onPeer(up); each learns the other's members              │   spans.go, members.go
//	   │  gossipsub opens a stream each way                        │   neighbours.go, gossip.go
//	   │  who dialled opens the push stream                        │   directlink.go
//	   │  sync streams come and go                                 │   streams.go
//	   │  the proof's stream stays: pings, news of members         │   control.go
//	   │                                                           │
//	   ├─ goodbye ────────────────────────────────────────────────▶│   onPeer(down), both sides
//	   ×                                                           ×
//
// A connection that is not proven within 5 s is closed. A peer has one connection; of two nodes that dial each
// other at once, the one with the smaller id has its way.
//
// # Reaching each other
//
// The keeper (keeper.go) dials what it knows: static addresses, members, the issuer, and what mDNS finds, each with a
// backoff of its own, jittered by half: from 1 s up to 15 s for a member that was there in the last ten minutes, a
// minute in the last day, five minutes otherwise (patience.go). New addresses of a member make it due at once. What a
// node cannot see of itself its neighbours tell it over the control stream (observed.go): the address it is seen at, and,
// dialling back from a port it never sent to, whether it can be dialled there. That is what libp2p's identify and
// AutoNAT do with whoever connects; here members ask members, so neither runs.
//
//	one can be dialled       neither can: through a relay       and from there, on QUIC, directly
//
//	  A ───────────▶ B             A ───▶ R ◀─── B                A ───────▶◀─────── B
//
//	relay.go      regional and cloud nodes relay, for members only: libp2p's circuit relay 2, with limits
//	reserve.go    who has no public address that was dialled reserves at two of them, nearest first
//	circuit.go    … and signs /p2p/RELAY/p2p-circuit with its addresses; others dial it after the direct ones
//	punch.go      libp2p's DCUtR on proven connections, with the addresses that neighbours see. TCP is not punched:
//	              each connection of ours leaves from a port of its own
//	roam.go       changed addresses and default routes, from the kernel: sign and tell the new ones, close links whose
//	              address is gone, ask for a sign of life on the others, dial everyone that is missing
//	alive.go      dead links: the kernel probes TCP after 12 s of silence, QUIC pings after 15 s; 20 to 26 s end it
//	seek.go       members that cannot be reached, or were not told: neighbours are asked, from their tables
//	directory.go  … and, in fabrics of more than 128, from a Kademlia table of the servers, of signed records
//
// # Invariants
//
//   - No protocol but the proof and the join sees a byte of a peer that has not proven membership, and none of
//     ours is spoken to such a peer. The secret of a ticket goes to its issuer only. Relay, hole punching and directory
//     are libp2p's own, on a host in which only proven members exist (memberhost.go).
//   - Every certificate is signed by the authority and every address by its owner, so it does not matter who
//     passes them on.
//   - Up and down of a peer alternate, and no callback comes after Close.
//   - A key, a certificate or a ticket is durable before anyone is told of it. A damaged one is an error that
//     names the file; it is never replaced in silence.
//   - What strangers do reaches no disk, and costs no member its connection.
//   - What a later version adds to a hello, a join or the control stream is skipped, not an error.
//
// # What a stranger can see
//
// Who connects to a listener learns, from the encrypted handshake, its peer id and that it speaks yamux or
// QUIC; from the proof, if it sends a certificate, why that was refused. It does not learn the fabric, the
// name, the addresses or the protocols: libp2p's identify and ping do not run on this host. Who is dialled by
// a member (an address in Config.Peers, or a claim on mDNS, that now belongs to someone else) gets that
// member's certificate and addresses, because the dialler shows its proof first; they serve it for nothing
// else. With mDNS on, the local network sees the peer id, the addresses and 40 bits of the fabric id.
//
// # Which way frames go
//
// Publish sends a frame to every member the way that costs least, judged anew for each frame by what the neighbours
// announce of themselves on their push streams (directwire.go): mainly, which neighbours they have.
//
//	few: at most 4 neighbours,        servers S: more                   devices D with a server near: in no topic,
//	and theirs are all among them                                       fed by it. It passes on to them what it
//	                                                                    publishes and receives, and publishes what
//	      A ────── B                  S ── S ── S ── D                  they send
//	      │ ╲    ╱ │                  │ ╲╱ │    │ ╲
//	      │   ╲╱   │                  │ ╱╲ │    │   D
//	      │  ╱  ╲  │                  S ── S ── S ── D
//	      C ────── D
//
//	one push stream each, one copy    gossipsub, 3 to 6 neighbours in   one copy; a feeder that is lost, or takes
//	a receiver; nobody passes on      its mesh: about 3 copies          nothing for 10 s, is replaced at once
//
// PublishTo spares the neighbours that do not want a frame, where they are few.
//
// gossipsub does not use a connection that a relay limits. Where the relay is a member and a neighbour, frames go by it,
// as by any server, and cross each link once; where it is not, both ends feed each other over the circuit.
//
// If all neighbours of a node's neighbours are among its own, they are everybody whom anybody can reach: so "few" needs
// no list of members and no clock. A neighbour that is not heard of, such as an earlier version, is reached by the
// topic. A device among devices is in the topic, and so are the devices next to it. A fed device passes nothing on: what
// it alone could carry between servers that do not see each other, pulls carry. Every stamped frame has one id,
// the hash of its content, whichever way it comes; it is delivered and passed on once.
//
// # Frames get lost, on purpose
//
// Publish promises nothing and waits for no peer. What may wait for one peer is bounded: 4096 frames or 2 MiB on a push
// stream, 128 messages in gossipsub. Beyond that frames for that peer are dropped, all others have theirs, and when
// the queue has drained, or a second later, the peer is told that it missed something. OnMissed hears that word, and
// likewise when the topic overran this node (256 messages wait for onGossip), when a push stream broke, and when a
// feeder begins. A frame is also lost if it is published before a new neighbour has said what it wants, about a round
// trip in the topic, where the mesh takes it up within a second; or if the only path to a member breaks. All drops are
// counted in edgemem_p2p_gossip_dropped_total. Pulls over sync streams are what makes delivery certain. Frames are not
// signed: see gossip.
//
// # Cost
//
// Measured on loopback, on a machine that was busy with other work.
//
//	one hop of an idle link       0.4 × gossipsub as libp2p sets it up, 0.7 × the same without signatures (medians)
//	500 frames a second           0.1 ms each in a mesh of three (median; 1 ms for one in 100); by the topic 0.2 and 4 ms
//	20,000 frames at once         two thirds arrive as frames, published at 220,000 a second; pulls bring the rest
//	copies of a frame             1 with few neighbours and for a device; in the topic 3.1 a server, 2.6 from 1 KiB on
//	overhead of a frame           about 6 bytes of stamp, 3 of kind and length (in the topic 30), 12 of yamux, 22 of TLS
//	a proof of membership         1.5 round trips after the handshake
//	joining and connecting        5.5 KB each way on TCP, 13 KB on QUIC, two handshakes included
//	an idle connection            11 B/s each way on TCP, 19 B/s on QUIC, headers of IP and Ethernet included
//	an idle host                  0.05 % of one processor; 4 MB of resident memory over the bare process
//	a pulled cable                missed after 11 to 22 s; the peer is back 1 s after the cable
//	a changed address             back, with all neighbours told, after 0.3 to 0.4 s, TCP and QUIC alike
//	two nodes behind translators  connected through a relay after 0.03 to 0.2 s; punched, on QUIC, after 0.3 s
//	a record of the directory     24 to 41 KB to put, 20 to 39 KB to find, among 24 servers; nothing while nobody asks
//	a certificate                 about 170 bytes; a ticket 160 to 400 characters
//	a member in the table         about 1 KB in memory, 400 bytes on disk
//
// # Limits
//
//   - A peer that vanishes without a word (a cable pulled) is missed after at most 22 s on TCP, where the kernel has
//     RFC 5482 (Linux), 26 s on QUIC; a link so bad that five probes in a row are lost is taken for dead.
//   - A node joins by dialling the issuer: no relay leads a stranger to it. Between two nodes that cannot be dialled,
//     someone must relay; where there is no regional or cloud node, set Relay.Mode at another one.
//   - Hole punching needs QUIC, and translators that keep the port of one socket whoever it sends to.
//   - A circuit is cut at its limit, by default 256 MiB each way or an hour; its ends make another. Its relay sees who
//     talks to whom, and how much.
//   - Words about changes of the network come on Linux only; elsewhere it is looked at every 10 s.
//   - The authority is one key on one node. Without it nobody can join; who is in stays in.
//   - Certificates are judged by each node's own clock, and only for their expiry: a clock in the past, as on
//     a device without a battery, does not keep a node out; one decades ahead does.
//   - At most 4096 members are remembered, 128 of them told to a new neighbour, of whom a server reads the rest in
//     pages of as many, one in 3 s; 1024 tickets outstanding.
//   - A member can flood, forge others' gossip while relaying it, and tell strangers about members. Membership
//     is trust in these respects.
package p2p
