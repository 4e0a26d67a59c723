package machine

import "fmt"

// A Plan divides a limit.
type Plan struct {
	Budget  int64 // of the node: what entries, indexes and causality may take, in all regions
	Reserve int64 // of the budget, kept for merges
	GoLimit int64 // GOMEMLIMIT: what the Go runtime may take beside the pools
	Files   int64 // of mapped files, the program among them, that may be resident; 0: as many as the kernel likes
	Why     string
	Warning string // not empty: it will run, and not well
}

// The parts of a plan.
const (
	// overheadBytes is what a node takes that holds nothing: code, libp2p with a few peers, Badger with small tables. 40 MB is what the
	// device profile may take idle.
	overheadBytes = 40 << 20
	// compactingBytes is the same under load, where nobody else gives way: two compactions have twenty tables in work, three memtables wait, and a Go runtime
	// that is held to less than that collects without end.
	compactingBytes = 96 << 20
	// codeBytes of these are pages of the program that it runs through under load. They count where the limit is the machine's, and can be dropped, but
	// then every step waits for the disk.
	codeBytes = 16 << 20
	// A cgroup's limit is for this node alone: of what the overhead leaves, three quarters are budget. The last quarter is
	// garbage that Go has not collected, messages under way, kernel buffers and pages of the store's files. Never more than
	// seven tenths of all, since caches and buffers grow with the machine.
	restPercent      = 75
	exclusivePercent = 70
	// On a whole machine other programs live, and its system.
	sharedPercent = 60
	// A small budget is better than none: below it a node still relays and holds its small regions.
	budgetMinBytes = 8 << 20
	// Merges of a full node come in chunks of a few MiB; a sixteenth keeps several regions going.
	reserveParts    = 16
	reserveMinBytes = 1 << 20
	reserveMaxBytes = 256 << 20
	// The runtime keeps to its limit but roughly, and a limit that its live heap exceeds makes it collect without end.
	goHeadroomPercent = 95
	// Of a limit that nobody else holds, a tenth is kept for pages of files that came faster than they went, and for a collector that is late.
	nodeHeadroomPercent = 90
	goMinBytes          = 24 << 20
	// 32-bit processes have 2 to 3 GiB of addresses, in pieces.
	addressMaxBytes = 2 << 30
)

// A Wish is what somebody asked for, bytes. 0 is nothing.
type Wish struct {
	Node    int64 // what the process may take, of whatever the machine has
	Regions int64 // the budget of what regions hold, of that
}

// Within gives the limit that the node is to keep to: the tighter of the machine's and its own.
func (w Wish) Within(limit Limit) Limit {
	if w.Node > 0 {
		return tightest([]Limit{limit, {Bytes: w.Node, From: "--memory"}})
	}
	return limit
}

// PlanFor divides what a limit allows. pools says that the budget of regions lies outside the Go heap, where the runtime's limit does not
// count it; wordBits is 32 or 64.
func PlanFor(limit Limit, wish Wish, pools bool, wordBits int) Plan {
	own := wish.Within(limit)
	held := own != limit // the node itself is to keep to it
	limit = own
	all := limit.Bytes
	if wordBits == 32 && (all == 0 || all > addressMaxBytes) {
		all = addressMaxBytes
		limit = Limit{all, "32-bit addresses", limit.Shared}
	}
	p := Plan{Budget: wish.Regions, Why: fmt.Sprintf("%d MiB as configured", wish.Regions>>20)}
	if wish.Regions <= 0 {
		p.Budget, p.Why = defaultBudget(limit, held)
	}
	p.Reserve = min(max(p.Budget/reserveParts, reserveMinBytes), reserveMaxBytes, p.Budget/4)
	if all == 0 {
		return p // the runtime's own default is no limit
	}
	headroom := int64(goHeadroomPercent)
	if held {
		headroom = nodeHeadroomPercent
	}
	rest := all/100*headroom - codeBytes
	if pools {
		rest -= p.Budget
	}
	p.GoLimit = max(rest, goMinBytes)
	if held { // a cgroup counts such pages too, and takes them back when others need the room
		p.Files = max(all-p.Budget-p.GoLimit, codeBytes)
	}
	if p.Budget+overheadBytes > all {
		p.Warning = fmt.Sprintf("a budget of %d MiB and some %d MiB for the process itself do not fit in %v",
			p.Budget>>20, int64(overheadBytes)>>20, limit)
	}
	return p
}

// Without any limit known, a node takes little rather than guess.
const unknownBudgetBytes = 256 << 20

// defaultBudget is a part of the limit. held says that the node itself is to keep to it.
func defaultBudget(limit Limit, held bool) (int64, string) {
	if limit.Bytes == 0 {
		return unknownBudgetBytes, fmt.Sprintf("%d MiB, since no limit is known", int64(unknownBudgetBytes)>>20)
	}
	most := int64(exclusivePercent)
	if limit.Shared {
		most = sharedPercent
	}
	overhead, least := int64(overheadBytes), int64(budgetMinBytes)
	if held {
		overhead, least = compactingBytes, max(least, limit.Bytes/4)
	}
	budget := max(min(limit.Bytes/100*most, (limit.Bytes-overhead)/100*restPercent), least)
	return budget, fmt.Sprintf("%d MiB, %d %% of %v", budget>>20, (budget*100+limit.Bytes/2)/limit.Bytes, limit)
}
