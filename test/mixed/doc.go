// Package mixed runs two versions of the daemon in one fabric: the one of this tree, and one that is built from an
// earlier commit of this repository. What operators do on the day of an upgrade must work: nodes of both versions side by
// side, node after node upgraded under load, and the way back.
//
//	go test ./test/mixed        # needs git and the repository's history; without them it skips, and says so
//
//	pins_test.go       which commits, and when to move them
//	build_test.go      from a commit to a program; kept in the user's cache folder, so that it is built once
//	node_test.go       a daemon of either version
//	golden_test.go     the bytes that were agreed on are still the same
//	fabric_test.go     joining, pushes, pulls, every type, removes that are forgotten, in both directions
//	upgrade_test.go    a data directory goes to the new version and back; a fabric is upgraded node by node
//	ancient_test.go    a version that speaks another wire: refused, and nothing happens to the data
//
// Like those of test/e2e the daemons are judged from outside only, and listen on loopback.
package mixed
