package fabric

import (
	"cmp"
	"slices"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// keyAt is a key and where it stands in an order: by hash, or by key alone where all hashes are 0.
type keyAt struct {
	hash uint64
	key  string
}

func (p keyAt) compare(q keyAt) int {
	return cmp.Or(cmp.Compare(p.hash, q.hash), strings.Compare(p.key, q.key))
}

// firstKeys keeps the first of many keys, each once. It holds at most twice as many, and twice as many bytes and one key more.
type firstKeys struct {
	most  int
	keys  []keyAt
	bytes int
	limit int  // keys up to keys[limit-1] are in order, and those after it that are left out are not the first
	more  bool // some were left out
}

// firstKeysBytes bounds what firstKeys gives.
const firstKeysBytes = 1 << 20

func (k *firstKeys) add(p keyAt) {
	if k.more && p.compare(k.keys[k.limit-1]) > 0 {
		return
	}
	k.keys, k.bytes = append(k.keys, p), k.bytes+len(p.key)
	if len(k.keys) > 2*k.most || k.bytes > 2*firstKeysBytes {
		k.shrink()
	}
}

func (k *firstKeys) shrink() {
	slices.SortFunc(k.keys, keyAt.compare)
	k.keys, k.bytes = slices.Compact(k.keys), 0
	for i, p := range k.keys {
		if i == k.most || i > 0 && k.bytes+len(p.key) > firstKeysBytes {
			clear(k.keys[i:])
			k.keys, k.more = k.keys[:i], true
			break
		}
		k.bytes += len(p.key)
	}
	k.limit = len(k.keys)
}

// take gives the keys in order, and whether there are more than those.
func (k *firstKeys) take() (keys []keyAt, more bool) {
	k.shrink()
	return k.keys, k.more
}

// ScanLimit is how many keys Keys gives at most.
const ScanLimit = 10_000

// Keys gives the first keys in byte order that start with prefix and come after a key, if that is not empty, up to limit and ScanLimit, and
// whether more follow. It is not one instant: a key that is there all the time comes. Keys lie in no order in a region, so each call
// looks at all of them, a part under each lock: it is for people and for small regions; Scan visits a region in one pass. Error: ErrLoading.
func (r *Region) Keys(prefix, after string, limit int) (keys []KeyInfo, more bool, err error) {
	first := firstKeys{most: min(max(limit, 1), ScanLimit)}
	for k, err := range r.Scan() {
		if err != nil {
			return nil, false, err
		}
		if !strings.HasPrefix(k.Key, prefix) || after != "" && k.Key <= after {
			continue
		}
		first.add(keyAt{key: k.Key})
	}
	names, more := first.take()
	err = r.View(func(v *crdt.View) {
		for _, p := range names {
			if kind := v.Kind(p.key); kind != crdt.KindNone {
				keys = append(keys, KeyInfo{p.key, kind})
			}
		}
	})
	return keys, more, err
}
