package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// separated reads a table whose first line names the columns, each row as a hash without its empty
// cells. The key is the column that key names, or one of keyNames, or the first column.
func separated(comma rune) parser {
	return func(r io.Reader, name, key string) iter.Seq2[Record, error] {
		return func(yield func(Record, error) bool) {
			rows := csv.NewReader(r)
			rows.Comma = comma
			rows.ReuseRecord = true
			columns, err := columnsOf(rows, key)
			if err != nil {
				fail(yield, name, 1, err)
				return
			}
			for {
				cells, err := rows.Read()
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					fail(yield, name, errorLine(err), plain(err))
					return
				}
				line, _ := rows.FieldPos(0)
				rec, err := row(columns, cells, key, line)
				if err != nil {
					fail(yield, name, line, err)
					return
				}
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

func columnsOf(rows *csv.Reader, key string) ([]string, error) {
	first, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty; the first line must name the columns")
	}
	if err != nil {
		return nil, plain(err)
	}
	columns := header(slices.Clone(first))
	if slices.Contains(columns, "") {
		return nil, fmt.Errorf("column %d has no name", slices.Index(columns, "")+1)
	}
	if key != "" && !slices.Contains(columns, key) {
		return nil, fmt.Errorf("no column is called %q, which --key names; there are %q", key, columns)
	}
	return columns, nil
}

func row(columns, cells []string, key string, line int) (Record, error) {
	rec := Record{Kind: Hash}
	for i, cell := range cells {
		if cell != "" {
			rec.set(columns[i], cell)
		}
	}
	if key == "" && !slices.ContainsFunc(keyNames, func(k string) bool { return slices.Contains(columns, k) }) {
		key = columns[0]
	}
	return rec.keyed(key, line)
}

func errorLine(err error) int {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return parse.Line
	}
	return 0
}

// plain drops the place from a parse error, which fail adds in its own words.
func plain(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return parse.Err
	}
	return err
}
