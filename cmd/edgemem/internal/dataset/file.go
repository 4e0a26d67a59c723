package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// ErrInput is wrapped by every error about the user's file; the text names the file and the line.
var ErrInput = errors.New("dataset: bad input")

// keyNames are the fields tried as key, in this order, when the user names none.
var keyNames = []string{"key", "id", "_id", "name"}

// openFile gives the records of a file, which is opened anew for each pass over the stream. A mistake
// in the first record is told at once.
func openFile(file, key string) (Source, error) {
	parse, err := parserFor(file)
	if err != nil {
		return Source{}, err
	}
	records := recordsOf(file, key, parse)
	for _, err := range records {
		if err != nil {
			return Source{}, err
		}
		return Source{file, records}, nil
	}
	return Source{}, fmt.Errorf("%w: %s holds no records", ErrInput, file)
}

func recordsOf(file, key string, parse parser) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r, done, err := open(file)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer done()
		for rec, err := range parse(r, file, key) {
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

type parser func(r io.Reader, name, key string) iter.Seq2[Record, error]

// parserFor goes by the name's ending, and by the first byte where that says nothing.
func parserFor(file string) (parser, error) {
	switch filepath.Ext(strings.TrimSuffix(file, ".gz")) {
	case ".ndjson", ".jsonl", ".json":
		return ndjson, nil
	case ".csv":
		return separated(','), nil
	case ".tsv":
		return separated('\t'), nil
	}
	r, done, err := open(file)
	if err != nil {
		return nil, err
	}
	defer done()
	first, err := firstByte(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInput, file, err)
	}
	if first == '{' {
		return ndjson, nil
	}
	return separated(','), nil
}

func firstByte(r *bufio.Reader) (byte, error) {
	for {
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return 0, errors.New("the file is empty")
		}
		if err != nil || !bytes.ContainsRune([]byte(" \t\r\n\xef\xbb\xbf"), rune(b)) {
			return b, err
		}
	}
}

// open unpacks a gzipped file, whatever it is called, and drops a byte order mark.
func open(file string) (r *bufio.Reader, done func(), err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		f.Close()
		return nil, nil, fmt.Errorf("%w: %s is a directory", ErrInput, file)
	}
	r = bufio.NewReaderSize(f, 64<<10)
	if magic, _ := r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			f.Close()
			return nil, nil, fmt.Errorf("%w: %s: %w", ErrInput, file, err)
		}
		r = bufio.NewReaderSize(z, 64<<10)
	}
	if bom, _ := r.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = r.Discard(3) // they are in the buffer
	}
	return r, func() { f.Close() }, nil
}

// fail ends a stream with an error that names the place.
func fail(yield func(Record, error) bool, name string, line int, problem error) {
	if errors.Is(problem, bufio.ErrTooLong) {
		problem = fmt.Errorf("longer than %d bytes", maxLineBytes)
	}
	yield(Record{}, fmt.Errorf("%w: %s: line %d: %w", ErrInput, name, line, problem))
}
