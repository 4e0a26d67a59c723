// Package persist keeps a node's regions on disk: records in, one durable atomic commit at a time, and all of
// them out again at start. It runs on Badger v4 and owns one directory:
//
//	DIR/LOCK      flock, and the pid of its holder
//	DIR/VERSION   format of the directory, and the store's random id
//	DIR/MARK      how far the store had come: last acknowledged commit, synced bytes of MANIFEST
//	DIR/KEYS      of an encrypted store: copy of Badger's key registry
//	DIR/journal/  commits that Badger does not have yet, see segment.go and journal.go
//	DIR/badger/   Badger: MANIFEST, *.sst tables, *.mem write-ahead logs, *.vlog value logs
//
// # Invariants
//
//   - Commit returns nil only after its batch was fsynced. A batch is found whole or not at all.
//   - After a failed write or fsync nothing is acknowledged any more until the store is opened again.
//   - Open never comes up with less than what was acknowledged, within the limits below. It
//     reports ErrDamaged, names the file, and has changed nothing. Salvage then reads what is left.
//   - A nonce is durable before NewIncarnation returns it.
//
// # Why the directory is inspected before Badger opens it
//
// Badger is a good engine with a forgiving recovery. It cuts a log at the first entry that is not whole,
// whether a crash left it or a bad sector made it; it deletes tables that MANIFEST does not name,
// and takes a cut in MANIFEST for a crash; it makes a missing MANIFEST or log anew; it may leave out a table with a
// bad checksum; and some damage makes it panic in goroutines where nobody can recover, or exit. Each of these
// would be silence about lost data. So Open reads every byte that Badger will rely on, with its checksums:
//
//	VERSION ─ id ─┐
//	MARK ─ commit ┤   MANIFEST      only grew since the mark, or was rewritten whole
//	              ├─▶ *.sst         all that MANIFEST names are there, each block is sound
//	              │   *.mem         transactions follow those of the tables without a gap, up to the mark at least
//	              │   *.vlog        sound; a torn tail only where no record points
//	              ├─▶ journal/      commits follow those that Badger has without a gap, up to the mark at least
//	              └─▶ Badger opens, and its last version must be the last transaction found
//
// Commits are numbered from 1 without gaps, and so are Badger's transactions, since there is one writer of each; the number of a transaction is Badger's
// own version, and each rewrites a counter record so that compaction never drops the newest version. The mark
// is rewritten after each commit, without an fsync of its own (one fdatasync a commit is all we pay), in one of four
// slots, of which two are for those that are fsynced. It therefore survives a killed process to the last commit. After a power cut it may lag by what
// the kernel had not written yet, some 30 seconds at most. Damage in the same instant is noticed all the same, unless it
// hits the very last commit alone: a whole commit behind one that is not whole proves that the latter was fsynced once.
//
// Each value carries a CRC-32C over key and value, which Load verifies: what rots in memory, in
// a compaction, or on disk after it was inspected is found at the next Load.
//
// # Encryption
//
// With Config.Key all content is encrypted by Badger, AES-256 in counter mode under a data key that Config.Key locks (keys.go).
// Every check above is made on an encrypted store too. A wrong key, a missing one, and one for a plain store are told
// before anything is touched (ErrKey). Rekey changes the key of a closed store.
//
// # Why there is a journal before Badger
//
// Badger pays for each record of each commit: a place in a memtable, which is a skip list, the log of that, a table, and compactions. That was two thirds
// of what a daemon computed for a write, and two msyncs of sparse maps. What a segment of the journal holds comes to Badger once for each key, in large
// transactions, in the background. A batch of any size is one write there and needs no large memtable.
//
// # Full disks
//
// The journal meets a full disk with an error before anything is written that counts. Badger writes through sparse memory maps, where no free block means SIGBUS. Commit therefore refuses with ErrFull while less
// than Config.MinFreeBytes is left, before anything is written, and works again when there is more. Batches that only delete,
// and those of CommitRemoves, may use half of that reserve; a start, which must be durable to be one, and a checkpoint, which makes room, go further too. Room says
// how it is, so that the fabric refuses writes before they are made. Close leaves out what needs room. Another process that eats the whole reserve between two commits can still kill this
// one while Badger flushes; nothing acknowledged is lost by that, and Open refuses until there is room.
//
// # Cost, measured on 2 cores with an SSD, records of 16 + 100 bytes
//
//	Commit of 1 / 64 / 1,024 records   0.3 / 0.6 / 8.1 ms on the device profile, 0.2 / 0.3 / 2.7 ms on the server's, with drains
//	                                   (through Badger alone, in the same minutes: 0.6 / 1.3 / 7.8 and 0.6 / 1.6 / 5.4 ms)
//	Open with 100,000 records          18 ms, all verified: about 1 GB/s
//	Load of 100,000 records            63 ms
//	resident memory, device profile    a bare Go process with this package 12 MB, with an open store 14 MB, with 100,000
//	                                   records loaded 18 to 20 MB, just after writing 100,000 records 45 to 51 MB
//
// Overwrites are dropped by compaction, which starts at two tables; values of Config.ValueThresholdBytes
// and more go to the value log, where at most half is garbage after a scheduled collection. On the device profile closing compacts too.
// There Badger's compactors rest while they have nothing to do (rest.go): an idle store wakes once in ten minutes.
// After Load, and on each tick of the collection, a device's store asks the kernel to drop the mapped pages that were only passing through. Every
// store does so when no commit has come for 3 s, and again when Badger has let go of its buffers, at most once a minute; Config.Calm is told
// then. A daemon that took a million entries of 16 + 100 bytes keeps about 265 bytes of each at rest, all counted.
//
// # Limits
//
//   - Unix only: flock, statfs. With 32-bit words memtables are smaller (narrow.go), and as all files are mapped a store of
//     more than about 1 GiB does not fit into the addresses.
//   - A file system on which fsync of a new file makes its name durable too, as ext4, XFS, Btrfs and F2FS do. POSIX asks for an fsync of the
//     folder, which Badger does for all but the tables that it flushes. Where one of these lost its name Open reports it as missing.
//   - Keys of any length within a batch; beyond 32 KiB they cost a SHA-256, and those that share their first 32 KiB are sorted in memory by Load.
//   - A directory that is rolled back as a whole, MARK included, looks sound. The node's peers notice that (its origin is ahead of it).
//   - Bits that rot in tables while the store is open may panic inside Badger's compaction. The process dies; the next Open names the file.
//   - Encryption hides content, and how much of it there is only roughly; it does not prove that nobody changed it: checksums can be
//     forged by who can write the files. Numbers of tables and commits, sizes and times stay visible.
package persist
