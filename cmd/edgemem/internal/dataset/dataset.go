// Package dataset reads real data for the demo, as a stream of records: a file that the user names
// (NDJSON, CSV or TSV, also gzipped), or what any machine has: its package database, and the metadata
// of its files. Nothing is held in memory but the record at hand, and an error in a file names its line.
package dataset

import (
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/edgemem/edgemem/crdt"
)

// Record is one key with its value; exactly one of Value, Fields, Members and Count is set, as Kind
// says.
type Record struct {
	Key     string
	Kind    Kind
	Value   string
	Fields  []Field
	Members []string
	Count   int64
}

// Field is one field of a hash.
type Field struct{ Name, Value string }

// Kind says what a record is loaded as.
type Kind uint8

// The kinds of records.
const (
	String Kind = iota
	Hash
	Set
	Counter
)

// Source is a stream of records and what people should be told about it.
type Source struct {
	Name    string // such as "the dpkg database of this machine"
	Records iter.Seq2[Record, error]
}

// ErrNoData is returned when a machine has neither a package database nor a directory to describe.
var ErrNoData = errors.New("dataset: found no data on this machine; name a file with --input")

// enoughRecords is what counts as tens of thousands: a package database with less, as in a small
// container, is filled up with the metadata of files.
const enoughRecords = 20_000

// Open gives the records of file, with the field called key as key ("" picks one), or those of the
// machine if file is "". Opening reads nothing but the beginning.
func Open(file, key string) (Source, error) {
	if file != "" {
		return openFile(file, key)
	}
	return machine(os.DirFS("/"))
}

// Limit ends a stream after n records; 0 means no limit.
func Limit(records iter.Seq2[Record, error], n int) iter.Seq2[Record, error] {
	if n <= 0 {
		return records
	}
	return func(yield func(Record, error) bool) {
		left := n
		for r, err := range records {
			if !yield(r, err) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// check holds the limits that every entry has.
func (r Record) check() error {
	for _, name := range r.names() {
		if len(name) > crdt.MaxKeyBytes {
			return fmt.Errorf("a key, field or member of %d bytes; the most is %d", len(name), crdt.MaxKeyBytes)
		}
	}
	values := []string{r.Value}
	for _, f := range r.Fields {
		values = append(values, f.Value)
	}
	for _, v := range values {
		if len(v) > crdt.MaxValueBytes {
			return fmt.Errorf("a value of %d bytes; the most is %d", len(v), crdt.MaxValueBytes)
		}
	}
	return nil
}

func (r Record) names() []string {
	names := append([]string{r.Key}, r.Members...)
	for _, f := range r.Fields {
		names = append(names, f.Name)
	}
	return names
}

// Bytes is the payload: the key and what belongs to it, without any framing.
func (r Record) Bytes() int {
	n := len(r.Value)
	for _, name := range r.names() {
		n += len(name)
	}
	for _, f := range r.Fields {
		n += len(f.Value)
	}
	if r.Kind == Counter {
		n += 8
	}
	return n
}
