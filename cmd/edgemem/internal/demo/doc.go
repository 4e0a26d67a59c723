// Package demo shows the main job on real data, and proves it: three daemons in processes of their own,
// a device that goes off line while both sides write, and a check of every entry on every node after it
// has come back. In between a region that lives in the cloud is read at the edge, and goes there.
//
//	machine's data ─▶ device ─── mesh ─── edge
//	                     └──────────────── cloud
//
// Nothing is taken on trust from the daemons. The demo keeps an oracle, a plain map of what each key must
// hold: what was loaded, what either side wrote, and what the documented rules say about conflicts. At
// the end it reads every key of every node through the Redis protocol, as any program would, and compares.
// Whatever does not hold is printed, and the exit code is not 0.
//
// The daemons are this executable with the argument run, on free ports of 127.0.0.1 and in a temporary
// directory, so that the demo needs no set-up, no root and no network, and two can run at once. They die
// with the demo, whatever it dies of.
package demo
