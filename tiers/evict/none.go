package evict

// None keeps everything in memory.
type None struct{}

// Insert keeps no note of it.
func (None) Insert(uint64, int, int64) Slot { return 0 }

// Touch does nothing.
func (None) Touch(Slot) {}

// Resize does nothing.
func (None) Resize(Slot, int) {}

// Remove does nothing.
func (None) Remove(Slot) {}

// Victims has none to offer.
func (None) Victims(int64, func(uint64, int) bool) int64 { return 0 }

// Len is 0: entries are not counted.
func (None) Len() int { return 0 }

// Bytes is 0.
func (None) Bytes() int64 { return 0 }

// Overhead is 0.
func (None) Overhead() int64 { return 0 }
