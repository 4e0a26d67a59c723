package crdt

import "encoding/binary"

// Family is a configuration that many regions share, so that each of them costs less.
type Family struct{ cfg Config }

// NewRegion makes an empty replica.
func NewRegion(cfg Config) *Region {
	mem := cfg.Memory
	if mem == nil {
		mem = &slabs{source: cfg.Chunks}
	}
	return NewFamily(cfg).region(cfg.Name, cfg.Self, mem)
}

// NewFamily makes a family of regions that have a configuration in common.
func NewFamily(cfg Config) *Family {
	if cfg.MaxGhosts == 0 {
		cfg.MaxGhosts = DefaultGhosts
	}
	if cfg.MinAway <= 0 {
		cfg.MinAway = DefaultAway
	}
	if cfg.MinPack <= 0 {
		cfg.MinPack = DefaultPack
	}
	if cfg.Small == 0 {
		cfg.Small = DefaultSmall
	}
	return &Family{cfg}
}

// NewRegion makes an empty replica of the family, whose Config's Memory, Chunks, Name and Self are not looked at. Without chunks the Go
// heap gives its memory.
func (f *Family) NewRegion(name string, self Origin, chunks Chunks) *Region {
	return f.region(name, self, &slabs{source: chunks})
}

func (f *Family) region(name string, self Origin, mem Memory) *Region {
	cfg := &f.cfg
	key := hashKey{binary.BigEndian.Uint64(cfg.HashKey[:8]), binary.BigEndian.Uint64(cfg.HashKey[8:])}
	own, _ := mem.(*slabs)
	return &Region{
		cfg: cfg, name: name, id: RegionIDOf(name), origin: self, causal: cfg.Causal, track: cfg.Track, metaDirty: true,
		store: store{mem: mem, slabs: own, key: key, value: key.cell(CellValue, "")},
	}
}
