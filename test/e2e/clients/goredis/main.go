// Command goredis uses go-redis, unmodified, against an edgemem daemon: goredis ADDRESS AWAY PROTOCOL PREFIX. AWAY is another node of the
// fabric, PROTOCOL 2 or 3. It prints what is not as it should be, and ends with 1 where that is anything.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience bounds the whole run.
const patience = 2 * time.Minute

// session is one run.
type session struct {
	ctx        context.Context
	here, away *redis.Client
	prefix     string
	wrong      int
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: goredis ADDRESS AWAY PROTOCOL PREFIX")
		os.Exit(2)
	}
	protocol, err := strconv.Atoi(os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := &session{ctx: ctx, prefix: os.Args[4] + ":"}
	s.here = redis.NewClient(&redis.Options{Addr: os.Args[1], Protocol: protocol, ClientName: "exercise"})
	s.away = redis.NewClient(&redis.Options{Addr: os.Args[2], Protocol: protocol})
	for _, part := range []func(){s.values, s.collections, s.pipelines, s.transactions, s.blocking, s.messages, s.streams, s.own} {
		part()
	}
	if err := errors.Join(s.here.Close(), s.away.Close()); err != nil {
		s.fault("close: %v", err)
	}
	if s.wrong > 0 {
		os.Exit(1)
	}
}

func (s *session) fault(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	s.wrong++
}

// want compares what a command gave.
func (s *session) want(what string, got any, err error, want any) {
	if err != nil || !reflect.DeepEqual(got, want) {
		s.fault("%s: %v, %v; want %v", what, got, err, want)
	}
}

// key names a key of this run.
func (s *session) key(name string) string { return s.prefix + name }

func (s *session) values() {
	k := s.key("greeting")
	ok, err := s.here.Set(s.ctx, k, "hello", 0).Result()
	s.want("SET", ok, err, "OK")
	got, err := s.here.Get(s.ctx, k).Result()
	s.want("GET", got, err, "hello")
	if _, err := s.here.Get(s.ctx, s.key("missing")).Result(); !errors.Is(err, redis.Nil) {
		s.fault("GET of nothing: %v", err)
	}
	set, err := s.here.SetArgs(s.ctx, k, "new", redis.SetArgs{Mode: "XX", Get: true, TTL: time.Minute}).Result()
	s.want("SET XX GET", set, err, "hello")
	if ttl, err := s.here.TTL(s.ctx, k).Result(); err != nil || ttl <= 50*time.Second || ttl > time.Minute {
		s.fault("TTL: %v, %v", ttl, err)
	}
	n, err := s.here.IncrBy(s.ctx, s.key("n"), 41).Result()
	s.want("INCRBY", n, err, int64(41))
	f, err := s.here.IncrByFloat(s.ctx, s.key("n"), 0.5).Result()
	s.want("INCRBYFLOAT", f, err, 41.5)
	if err := s.here.LPush(s.ctx, k, "x").Err(); err == nil || !strings.HasPrefix(err.Error(), "WRONGTYPE ") {
		s.fault("LPUSH to a string: %v", err)
	}
	if err := s.here.Eval(s.ctx, "return 1", nil).Err(); err == nil || !strings.Contains(err.Error(), "not supported by edgemem") {
		s.fault("EVAL: %v", err)
	}
}

func (s *session) collections() {
	k := s.key("person")
	type person struct {
		Name string `redis:"name"`
		Born int    `redis:"born"`
	}
	n, err := s.here.HSet(s.ctx, k, person{"Ada", 1815}).Result()
	s.want("HSET", n, err, int64(2))
	var p person
	err = s.here.HGetAll(s.ctx, k).Scan(&p)
	s.want("HGETALL", p, err, person{"Ada", 1815})
	n, err = s.here.SAdd(s.ctx, s.key("set"), "a", "b", "c").Result()
	s.want("SADD", n, err, int64(3))
	members, err := s.here.SMembersMap(s.ctx, s.key("set")).Result()
	s.want("SMEMBERS", len(members), err, 3)
	n, err = s.here.ZAdd(s.ctx, s.key("board"), redis.Z{Score: 2, Member: "two"}, redis.Z{Score: 1.5, Member: "one"}).Result()
	s.want("ZADD", n, err, int64(2))
	board, err := s.here.ZRangeWithScores(s.ctx, s.key("board"), 0, -1).Result()
	s.want("ZRANGE WITHSCORES", board, err, []redis.Z{{Score: 1.5, Member: "one"}, {Score: 2, Member: "two"}})
	seen := map[string]bool{}
	for i := range 300 {
		if err := s.here.Set(s.ctx, s.key(fmt.Sprint("scan:", i)), i, 0).Err(); err != nil {
			s.fault("SET: %v", err)
		}
	}
	it := s.here.Scan(s.ctx, 0, s.key("scan:*"), 50).Iterator()
	for it.Next(s.ctx) {
		seen[it.Val()] = true
	}
	s.want("SCAN", len(seen), it.Err(), 300)
}

func (s *session) pipelines() {
	var sum *redis.IntCmd
	cmds, err := s.here.Pipelined(s.ctx, func(p redis.Pipeliner) error {
		for range 1000 {
			sum = p.Incr(s.ctx, s.key("many"))
		}
		return nil
	})
	s.want("a pipeline", len(cmds), err, 1000)
	s.want("its last reply", sum.Val(), sum.Err(), int64(1000))
}

// transactions adds with WATCH from several connections at once: none may be lost.
func (s *session) transactions() {
	k := s.key("watched")
	add := func() error {
		for {
			err := s.here.Watch(s.ctx, func(tx *redis.Tx) error {
				n, err := tx.Get(s.ctx, k).Int()
				if err != nil && !errors.Is(err, redis.Nil) {
					return err
				}
				_, err = tx.TxPipelined(s.ctx, func(p redis.Pipeliner) error { return p.Set(s.ctx, k, n+1, 0).Err() })
				return err
			}, k)
			if !errors.Is(err, redis.TxFailedErr) {
				return err
			}
		}
	}
	done := make(chan error, 8) // one answer each
	for range cap(done) {
		go func() {
			var err error
			for range 10 {
				err = errors.Join(err, add())
			}
			done <- err
		}()
	}
	var err error
	for range cap(done) {
		err = errors.Join(err, <-done)
	}
	n, err2 := s.here.Get(s.ctx, k).Int()
	s.want("WATCH, MULTI, EXEC", n, errors.Join(err, err2), 80)
}

func (s *session) blocking() {
	popped := make(chan []string, 1) // one answer
	go func() {
		got, err := s.here.BLPop(s.ctx, 0, s.key("jobs"), s.key("others")).Result()
		popped <- append(got, fmt.Sprint(err))
	}()
	if err := s.away.RPush(s.ctx, s.key("others"), "from afar").Err(); err != nil {
		s.fault("RPUSH: %v", err)
	}
	s.want("BLPOP, woken by a merge", <-popped, nil, []string{s.key("others"), "from afar", "<nil>"})
	if _, err := s.here.BLPop(s.ctx, time.Second, s.key("nothing")).Result(); !errors.Is(err, redis.Nil) {
		s.fault("BLPOP of nothing: %v", err)
	}
}

// messages publishes at the other node until a listener here hears it: the word that somebody listens takes a moment.
func (s *session) messages() {
	sub := s.here.Subscribe(s.ctx, s.key("channel"))
	defer sub.Close()
	pattern := s.here.PSubscribe(s.ctx, s.key("ch*"))
	defer pattern.Close()
	for _, p := range []*redis.PubSub{sub, pattern} {
		if _, err := p.Receive(s.ctx); err != nil {
			s.fault("subscribe: %v", err)
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	heard := map[*redis.PubSub]bool{}
	one, two := sub.Channel(), pattern.Channel()
	for !heard[sub] || !heard[pattern] {
		select {
		case m := <-one:
			heard[sub] = m != nil && m.Payload == "hello" && m.Channel == s.key("channel")
		case m := <-two:
			heard[pattern] = m != nil && m.Payload == "hello" && m.Pattern == s.key("ch*")
		case <-tick.C:
			if err := s.away.Publish(s.ctx, s.key("channel"), "hello").Err(); err != nil {
				s.fault("PUBLISH: %v", err)
				return
			}
		case <-s.ctx.Done():
			s.fault("messages that were heard: %d of 2", len(heard))
			return
		}
	}
}

func (s *session) streams() {
	k := s.key("log")
	for i := range 3 {
		if err := s.here.XAdd(s.ctx, &redis.XAddArgs{Stream: k, Values: []any{"n", i}}).Err(); err != nil {
			s.fault("XADD: %v", err)
		}
	}
	var got []string
	read, err := s.here.XRead(s.ctx, &redis.XReadArgs{Streams: []string{k, "0"}, Block: time.Second}).Result()
	for _, stream := range read {
		for _, m := range stream.Messages {
			got = append(got, fmt.Sprint(m.Values["n"]))
		}
	}
	s.want("XREAD", got, err, []string{"0", "1", "2"})
}

// own uses commands that Redis does not have.
func (s *session) own() {
	k := s.key("seats")
	ok, err := s.here.Do(s.ctx, "EM.BOUND", "NEW", k, 5, "MIN", 0).Result()
	s.want("EM.BOUND NEW", ok, err, "OK")
	n, err := s.here.Do(s.ctx, "EM.BOUND", "DECR", k, 5).Int64()
	s.want("EM.BOUND DECR", n, err, int64(0))
	if err := s.here.Do(s.ctx, "EM.BOUND", "DECR", k).Err(); err == nil || !strings.HasPrefix(err.Error(), "NORIGHTS ") {
		s.fault("EM.BOUND DECR beyond the limit: %v", err)
	}
	cmds, err := s.here.Command(s.ctx).Result()
	if _, there := cmds["em.bound"]; err != nil || !there {
		s.fault("COMMAND: %d, %v", len(cmds), err)
	}
	list, err := s.here.ClientList(s.ctx).Result()
	if lines := strings.Split(list, "\n"); err != nil || !slices.ContainsFunc(lines, func(l string) bool {
		return strings.Contains(l, " name=exercise ") && strings.Contains(l, "lib-name=go-redis")
	}) {
		s.fault("CLIENT LIST: %v, %v", list, err)
	}
}
