//go:build unix && !linux

package offheap

func prefer(uint64, int, int) {}

func adviseHuge(uint64, int) {}
