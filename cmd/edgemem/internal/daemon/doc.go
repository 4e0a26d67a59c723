// Package daemon makes one node out of the packages that know nothing of each other, and ends it again.
//
// It opens in this order, and closes in the reverse one:
//
//	data directory   store: lock, checkpoint        persist
//	local listeners  RESP and HTTP are bound        a taken port is told before anything else happens
//	HTTP             /readyz answers 503 from here  httpd
//	mesh             identity, membership           p2p
//	fabric           the checkpoint is loaded       fabric
//	RESP             clients are served             resp
//	control socket   commands are served            control
//
// Then the node is ready: /readyz answers 200, systemd is told, and one line on standard error names
// the addresses. It never waits for peers.
//
// SIGTERM and SIGINT close it within closeTimeout: clients finish what is under way, the fabric pushes
// and syncs what is pending, peers are told goodbye. A second signal ends the process at once; the store
// is made for that.
package daemon
