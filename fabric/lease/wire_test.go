package lease

import (
	"reflect"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

func someElectorate() Electorate {
	return Electorate{Root: Nonce{9}, Epoch: 3, Voters: []Member{{"a", Nonce{1}}, {"b", Nonce{2}}}}
}

func someRequests() []Request {
	b := Ballot{7, Nonce{1, 2}}
	next := someElectorate()
	first := next
	first.Epoch = 1
	return []Request{
		{Kind: Show, Epoch: 1, Name: "l"},
		{Kind: Prepare, Epoch: 2, Name: "l", Ballot: b},
		{Kind: Accept, Epoch: 2, Name: "l", Ballot: b, Value: Value{Held: true, Token: 7, Owner: "o", TTL: time.Second}},
		{Kind: Ask, Asked: []crdt.NodeID{"a", "b"}},
		{Kind: Join},
		{Kind: Propose, Ballot: b, Next: first, Asked: []crdt.NodeID{"a"}},
		{Kind: Decide, Epoch: 2, Ballot: b, Next: next},
		{Kind: Learn, Epoch: 3, Next: next, Start: Start{Floor: 5, Wait: time.Minute}},
	}
}

func someReplies() []Reply {
	b := Ballot{7, Nonce{1, 2}}
	return []Reply{
		{},
		{Status: Outvoted, Known: someElectorate(), Begin: Start{1, time.Second}, Promised: b},
		{Promised: b, Accepted: b, Value: Value{Held: true, Token: 3, TTL: TTLMax}, Left: time.Second, Floor: 9, Next: someElectorate(), Nonce: Nonce{4}},
		{Status: Stranger, Detail: "c"},
	}
}

func TestMessagesComeBack(t *testing.T) {
	t.Parallel()
	for _, q := range someRequests() {
		raw := q.Append(nil)
		if got, err := DecodeRequest(raw); err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%+v became %+v, %v", q, got, err)
		}
		if _, err := DecodeRequest(append(raw, 1, 2, 3)); err != nil {
			t.Errorf("what follows is for later versions: %v", err)
		}
		for n := range raw {
			if _, err := DecodeRequest(raw[:n]); err == nil {
				t.Errorf("%d of %d bytes of %+v are taken for a request", n, len(raw), q)
			}
		}
	}
	for _, x := range someReplies() {
		if got, err := DecodeReply(x.Append(nil)); err != nil || !reflect.DeepEqual(got, x) {
			t.Errorf("%+v became %+v, %v", x, got, err)
		}
	}
}

// FuzzRequest: what is read is within its bounds, comes back as it is, and does not trouble a voter.
func FuzzRequest(f *testing.F) {
	for _, q := range someRequests() {
		f.Add(q.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := DecodeRequest(b)
		if err != nil {
			return
		}
		if again, err := DecodeRequest(q.Append(nil)); err != nil || !reflect.DeepEqual(again, q) {
			t.Fatalf("%+v became %+v, %v", q, again, err)
		}
		if len(q.Name) > NameMax || len(q.Value.Owner) > OwnerMax || q.Value.TTL > TTLMax || len(q.Next.Voters) > VotersMax || len(q.Asked) > AskedMax {
			t.Fatalf("beyond bounds: %+v", q)
		}
		v, err := NewVoter("a", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		v.Step(&Request{Kind: Join}, Nonce{1}, 0)
		e := Electorate{Root: Nonce{1}, Epoch: 1, Voters: []Member{{"a", Nonce{1}}}}
		v.Learn(&e, Start{}, 0)
		var recs []Record
		for range 2 {
			r, more := v.Step(&q, Nonce{2}, time.Second)
			recs = append(recs, more...)
			if _, err := DecodeReply(r.Append(nil)); err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
		}
		last := map[string][]byte{}
		for _, r := range recs {
			last[r.Key] = r.Value
		}
		for key, value := range last {
			if value == nil {
				continue
			}
			if _, err := NewVoter("a", []Record{{key, value}}, 0); err != nil {
				t.Fatalf("what it keeps of %+v is not read: %v", q, err)
			}
		}
	})
}

// FuzzReply: what is read is within its bounds and comes back as it is.
func FuzzReply(f *testing.F) {
	for _, x := range someReplies() {
		f.Add(x.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := DecodeReply(b)
		if err != nil {
			return
		}
		if again, err := DecodeReply(x.Append(nil)); err != nil || !reflect.DeepEqual(again, x) {
			t.Fatalf("%+v became %+v, %v", x, again, err)
		}
	})
}

// FuzzRecord: what a disk gives makes a voter or an error.
func FuzzRecord(f *testing.F) {
	x := entry{promised: Ballot{1, Nonce{1}}, accepted: Ballot{1, Nonce{1}}, value: Value{Held: true, Token: 1, TTL: time.Second}, keep: time.Second}
	f.Add("lx", x.encode())
	s := standing{nonce: Nonce{1}, known: someElectorate(), voting: true}
	f.Add("s", s.encode())
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		_, _ = NewVoter("a", []Record{{key, value}}, 0)
		_, _, _ = DecodeKnown(value)
	})
}
