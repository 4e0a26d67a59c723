package persist

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// pageOut asks the kernel to take back the pages of mapped files under dir: after Load every table counts as resident,
// though nothing will read it soon. The advice never loses data, so that a mapping which Badger
// removes meanwhile, and whose addresses serve something else by then, is harmless. An old kernel refuses; then it stays as it was.
func pageOut(dir string) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		if _, path, ok := strings.Cut(lines.Text(), dir+"/"); !ok || path == "" {
			continue
		}
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); err == nil {
			unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_PAGEOUT)
		}
	}
}
