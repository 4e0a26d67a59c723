// Package disk is a disk in a program that forgets, tears and spoils what was not synced when its power is cut. It is mounted by
// FUSE, so that unmodified processes run on it, files that they map included.
//
//	process ─ write, store to a map ─▶ kernel's page cache ─ FUSE ─▶ Disk: what files are, and what of that is safe
//	        ─ fsync, msync ──────────────────────────────────────▶         what they are becomes safe
//
//	Hold ─▶ kill the process ─▶ Cut(seed) ─▶ Mount             what is safe, and of the rest what fate leaves
//
// # What a cut does
//
// A file's writes since its last sync are taken in sectors of 512 bytes. Each may have come to the disk or not, whatever became of
// those before it: writes are lost, torn and out of order. Of those that came a few have a flipped bit, in a byte that
// they changed. The sizes that a file was set to survive up to some point. So do the names that were made, changed and removed in a folder
// since that was synced, as a journal keeps them. To sync a file makes its own name safe, and its folders, as journaling file systems do;
// with Options.Strict it does not, as POSIX allows. Which of these happen, and how much, the seed of the cut decides, whole
// cuts that lose all or nothing among them.
//
// Flip changes a bit that was safe, while the disk is not mounted: rot. Options.Lie makes a disk that says that it synced and did not.
//
// # Limits
//
// Linux and root. No links, no extended attributes, no moves between folders. What was not synced is held twice, up to backlogBytes a file;
// older writes come to the disk by themselves. Sectors are whole or not there: a disk that loses power in the middle of
// a sector, and with it what the sector held before, is not simulated by Cut but by Flip.
package disk
