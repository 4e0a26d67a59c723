// Package datadir knows what a data directory holds, and restores one of a backup.
//
//	DIR/store/              entries, causal context, incarnations   persist
//	DIR/p2p/                identity, certificate, known members    p2p
//	DIR/edgemem.sock        while the daemon runs                   control
//	DIR/restoring/          what a restore is building: store/ and p2p/
//	DIR/RESTORING           what it built is whole and is being put in place
//	DIR/before-restore-…/   what a restore with --force moved aside
//
// A restore reads the whole backup into DIR/restoring first. Only when all of it is verified and on disk comes RESTORING, durably, and
// then the folders change places, one rename each. A restore that dies before leaves what was there as it was; one that dies
// between is finished by whoever comes next, since each step can be repeated. All of it stays within DIR,
// which may be a mount point.
package datadir
