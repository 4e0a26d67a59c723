// Package api is the HTTP API of a node: regions, entries of every type, batches, scans and watches, as JSON.
//
//	GET    /v1/regions                                 list
//	GET    /v1/regions/{region}                        PUT creates or configures, DELETE removes
//	GET    /v1/regions/{region}/keys                   keys in byte order by prefix, a page at a time
//	GET    /v1/regions/{region}/keys/{key}             the entry; PUT writes a register, DELETE removes
//	GET    /v1/regions/{region}/keys/{key}/value       a register's bytes as they are; PUT too
//	POST   /v1/regions/{region}/keys/{key}/set/add     one operation of client.Operations
//	POST   /v1/regions/{region}/batch                  several, seen here at once or not at all
//	GET    /v1/regions/{region}/watch                  the state, then changes: NDJSON or server-sent events
//	POST   /v1/regions/{region}/leases/{name}          takes a lease; GET tells who holds it
//	PUT    /v1/regions/{region}/leases/{name}/{token}  has it last longer, DELETE gives it up
//	GET    /v1/voters                                  who grants leases; PUT names them
//	GET    /v1/openapi.json                            the document, generated from the handlers; openapi-3.0.json for older tools
//
// Keys and values are bytes. In a path a key is percent-encoded. In JSON texts are UTF-8, or base64 where "encoding" says so.
//
// # Consistency
//
// All but leases is read and written on this node and waits for no other. Every answer about a region carries Edgemem-Context, a token of what the
// node has seen: a client that sends it with its next request, to whatever node, reads its own writes and nothing older. A node that is
// behind waits for Edgemem-Wait-Ms, 0 by default, and then answers 503 with the problem "stale" and the number of writes that are missing.
// Edgemem-Complete-Up-To says until when everything is here that nodes had which are not dark, Edgemem-Dark how many are.
//
// An ETag tells states of one entry apart: it is made of the dots of its writes, so replicas that have seen the same give the same.
// If-Match and If-None-Match are checked on this node, in one step with the write. They are no lock over the mesh: a write that another node
// makes meanwhile is merged, as the entry's type says.
//
// A watch tells first the state, then "caught-up", then changes. Each event has a cursor; a client that comes back with the last one,
// as Last-Event-ID or in the query, misses nothing and hears nothing twice, also after a restart of the node or at another one: see
// fabric.Follow for the exceptions. "reset" says that what was told before does not count any more.
//
// # Regions without a copy on this node
//
// Requests about entries go to a holder, which answers in place of this node: Edgemem-Source names it, and Edgemem-Complete-Up-To, Edgemem-Dark and
// Edgemem-Context are of its copy. A watch ends when its holder goes; its client comes back with the last cursor, and goes on at another one. Where none answers the
// problem is "no-holder", 503, which lists those that are known: nothing was done. "uncertain", 504, says that a holder got a write and that its answer is lost.
//
// # Limits
//
// Bodies of 2 MiB, of batches 4 MiB and 1,000 operations; bodiesMax bytes of bodies and requestsMax requests at once, watchesMax watches.
// An entry is told up to 10,000 members and 4 MiB, and says "truncated" beyond. What comes too
// much is answered 503 with Retry-After. A watch whose client takes nothing for stallMax is cut off.
package api
