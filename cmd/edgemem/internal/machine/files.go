package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strconv"
	"strings"
)

const (
	fileMaxBytes  = 64 << 10 // kernel files of numbers: most have a line, memory.stat some sixty
	mountMaxBytes = 4 << 20  // mountinfo of a machine with thousands of containers
)

// readFile gives "" for a file that is absent, or that we may not see.
func readFile(fsys fs.FS, name string, maxBytes int64) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", ignorable(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes))
	if err != nil {
		// Files of a cgroup fail in their read when the kernel was built or started without what they tell.
		return "", ignorable(fmt.Errorf("machine: %w", err))
	}
	return string(text), nil
}

func ignorable(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrInvalid) || notSupported(err) {
		return nil
	}
	return err
}

// lines yields the words of each line.
func lines(text string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		sc := bufio.NewScanner(strings.NewReader(text))
		sc.Buffer(nil, fileMaxBytes)
		for sc.Scan() {
			if words := strings.Fields(sc.Text()); len(words) > 0 && !yield(words) {
				return
			}
		}
	}
}

// readNumber reads a file with one number, or "max" for none; ok tells whether there is one.
func readNumber(fsys fs.FS, name string) (n int64, ok bool, err error) {
	text, err := readFile(fsys, name, fileMaxBytes)
	text = strings.TrimSpace(text)
	if err != nil || text == "" || text == "max" {
		return 0, false, err
	}
	n, err = parseBytes(text)
	if err != nil {
		return 0, false, fmt.Errorf("machine: %s: %w", name, err)
	}
	return n, true, nil
}

// parseBytes takes what is beyond 63 bits for as much as there is.
func parseBytes(text string) (int64, error) {
	u, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return int64(min(u, 1<<63-1)), nil
}

// readTable reads a file of names and numbers, as memory.stat and memory.events are.
func readTable(fsys fs.FS, name string) (map[string]int64, error) {
	text, err := readFile(fsys, name, fileMaxBytes)
	if err != nil {
		return nil, err
	}
	table := make(map[string]int64)
	for words := range lines(text) {
		if len(words) < 2 {
			continue
		}
		if n, err := parseBytes(words[1]); err == nil {
			table[strings.TrimSuffix(words[0], ":")] = n
		}
	}
	return table, nil
}
