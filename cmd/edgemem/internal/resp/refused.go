package resp

import "strings"

// Reasons why a command of Redis is absent.
const (
	noGroups   = "a consumer group gives each entry to one consumer, and nodes that do not hear of each other cannot agree on which; read with XREAD and share the work by keys"
	noScripts  = "a script runs on one node, and its effects cannot be merged as it meant them"
	noReplica  = "nodes of a fabric replicate among themselves; join with a ticket instead"
	noCluster  = "there are no slots: every node answers for every key it holds"
	noAdmin    = "the operator's commands are those of the edgemem program"
	noDump     = "a value's CRDT state does not fit Redis's dump format"
	noInternal = "it is about the inside of Redis"
)

// refusals lists the commands of Redis 7.0 that are not here, by why. COMMAND does not list them; an
// attempt is answered with the reason.
var refusals = []struct{ reason, names string }{
	{noGroups, "xack xautoclaim xclaim xgroup xpending xreadgroup"},
	{noScripts, "eval eval_ro evalsha evalsha_ro fcall fcall_ro"},
	{noReplica, "psync replconf replicaof slaveof sync failover role"},
	{noCluster, "asking cluster readonly readwrite migrate"},
	{noDump, "restore restore-asking"},
	{"regions are apart from each other; read from one and write to the other", "move swapdb"},
	{noAdmin, "bgrewriteaof bgsave save shutdown lastsave module"},
	{noInternal, "debug pfdebug pfselftest lolwut"},
}

func refusedCommands() []*command {
	var out []*command
	for _, r := range refusals {
		for _, name := range strings.Fields(r.names) {
			out = append(out, &command{name: name, refusal: r.reason})
		}
	}
	return out
}
