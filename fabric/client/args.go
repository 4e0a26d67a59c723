package client

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
)

// Args are what operations take; each takes some of them.
type Args struct {
	Encoding   string            `json:"encoding,omitempty" enum:"utf-8,base64" doc:"Of value, members, names and fields. Default: utf-8."`
	Value      *string           `json:"value,omitempty" doc:"At most 1 MiB."`
	KeepExpiry bool              `json:"keep_expiry,omitempty" doc:"Leave the time at which the entry expires as it is."`
	TTLMs      *int64            `json:"ttl_ms,omitempty" minimum:"1" maximum:"3153600000000" doc:"In how many milliseconds the entry expires."`
	By         *int64            `json:"by,omitempty" doc:"How much to add; less than 0 takes away."`
	ByDecimal  *string           `json:"by_decimal,omitempty" maxLength:"64" doc:"How much to add, a decimal number."`
	Member     *string           `json:"member,omitempty" doc:"At most 64 KiB."`
	Members    []string          `json:"members,omitempty" nullable:"false" minItems:"1" maxItems:"10000" doc:"Of at most 64 KiB each; elements of a list 1 MiB."`
	Field      *string           `json:"field,omitempty" doc:"At most 64 KiB."`
	Names      []string          `json:"names,omitempty" nullable:"false" minItems:"1" maxItems:"10000" doc:"Of fields."`
	Fields     map[string]string `json:"fields,omitempty" doc:"Values by name."`
	Scores     []Score           `json:"scores,omitempty" nullable:"false" minItems:"1" maxItems:"10000"`
	On         *bool             `json:"on,omitempty"`
	Rule       string            `json:"rule,omitempty" enum:"enable-wins,disable-wins" doc:"Which of concurrent settings wins. Default: as it is, and enable-wins where it is new."`
	Initial    *int64            `json:"initial,omitempty" doc:"Of a bounded counter, its value."`
	Limit      *int64            `json:"limit,omitempty" doc:"Of a bounded counter, which its value never falls below."`
	Ceiling    bool              `json:"ceiling,omitempty" doc:"It never rises above the limit, instead."`
	Front      bool              `json:"front,omitempty" doc:"At the front of the list; default: behind its last element."`
	Index      *int              `json:"index,omitempty" minimum:"0" doc:"From the front, which is 0."`
	Size       *int64            `json:"size,omitempty" minimum:"0" maximum:"1073741824" doc:"Of a block, bytes."`
	Offset     *int64            `json:"offset,omitempty" minimum:"0" doc:"In a block, bytes."`
	ID         *string           `json:"id,omitempty" maxLength:"41" doc:"Of a stream's new entry, beyond its last. Default: one of the present millisecond."`
	IDs        []string          `json:"ids,omitempty" nullable:"false" minItems:"1" maxItems:"10000" doc:"Of a stream's entries."`
	Keep       *int              `json:"keep,omitempty" minimum:"0" doc:"How many entries stay, the last."`
	Count      *int              `json:"count,omitempty" minimum:"1" doc:"Of elements. Default: 1."`
}

// decode turns base64 into bytes, and leaves what the caller has as it is. Error: ErrArguments.
func (a *Args) decode() error {
	if a.Encoding != "base64" {
		return nil
	}
	var failed error
	plain := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil && failed == nil {
			failed = fmt.Errorf("%w: %w", ErrArguments, err)
		}
		return string(b)
	}
	for _, s := range []**string{&a.Value, &a.Member, &a.Field} {
		if *s != nil {
			text := plain(**s)
			*s = &text
		}
	}
	for _, list := range []*[]string{&a.Members, &a.Names} {
		*list = slices.Clone(*list)
		for i := range *list {
			(*list)[i] = plain((*list)[i])
		}
	}
	a.Scores = slices.Clone(a.Scores)
	for i := range a.Scores {
		a.Scores[i].Member = plain(a.Scores[i].Member)
	}
	fields := make(map[string]string, len(a.Fields))
	for f, v := range a.Fields {
		fields[plain(f)] = plain(v)
	}
	a.Fields = fields
	return failed
}

// check refuses what is too large. Error: crdt.ErrTooLarge.
func (a *Args) check(key string) error {
	names, values := []string{key}, []string{}
	for _, s := range []*string{a.Member, a.Field} {
		if s != nil {
			names = append(names, *s)
		}
	}
	names = append(names, a.Names...)
	values = append(values, a.Members...)
	for i := range a.Scores {
		names = append(names, a.Scores[i].Member)
	}
	for f, v := range a.Fields {
		names, values = append(names, f), append(values, v)
	}
	if a.Value != nil {
		values = append(values, *a.Value)
	}
	for _, s := range names {
		if len(s) > crdt.MaxKeyBytes {
			return fmt.Errorf("%w: a key or name of %d bytes, limit %d", crdt.ErrTooLarge, len(s), crdt.MaxKeyBytes)
		}
	}
	for _, s := range values {
		if len(s) > crdt.MaxValueBytes {
			return fmt.Errorf("%w: a value of %d bytes, limit %d", crdt.ErrTooLarge, len(s), crdt.MaxValueBytes)
		}
	}
	return nil
}

// smallMembers refuses members that are too large for a set. Error: crdt.ErrTooLarge.
func smallMembers(members []string) error {
	for _, m := range members {
		if len(m) > crdt.MaxKeyBytes {
			return fmt.Errorf("%w: a member of %d bytes, limit %d", crdt.ErrTooLarge, len(m), crdt.MaxKeyBytes)
		}
	}
	return nil
}

func streamID(text string) (crdt.StreamID, error) {
	id, err := crdt.ParseStreamID(text)
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrArguments, err)
	}
	return id, nil
}

func parseScore(text string) (float64, error) {
	score, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(score) {
		return 0, fmt.Errorf("%w: %q is no score", ErrArguments, text)
	}
	return score, nil
}
