package netns

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgemem/edgemem/test/lab/wire"
)

// A fault is one evil of the torture. It is done when it returns, and says what it did; undo takes it back.
type fault func(x *torment) (what string, undo func())

// faults are drawn with equal chance.
var faults = []fault{split, silence, unplug, oneWay, flap, die, dieTogether, stop, reboot, blow, squeeze}

func list(members []*member) string {
	if len(members) == 0 {
		return "nobody"
	}
	return strings.Join(names(members), ", ")
}

// some draws 1 to half of the nodes.
func (x *torment) some() []*member {
	return draw(x.rnd, x.s.nodes, 1+x.rnd.IntN(max(1, len(x.s.nodes)/2)))
}

func (x *torment) one() *member { return x.s.nodes[x.rnd.IntN(len(x.s.nodes))] }

// split parts the fabric in two.
func split(x *torment) (string, func()) {
	side := x.some()
	return "split off " + list(side), x.s.part(side...)
}

// silence cuts one node off, without its noticing.
func silence(x *torment) (string, func()) {
	m := x.one()
	return "cut off " + m.Name, x.s.part(m)
}

// unplug cuts one node off, which notices.
func unplug(x *torment) (string, func()) {
	m := x.one()
	return "unplug " + m.Name, x.s.unplug(m)
}

// oneWay lets nothing pass from some to the others, and everything back.
func oneWay(x *torment) (string, func()) {
	dumb := x.some()
	return "mute " + list(dumb), x.s.net.mute(hosts(dumb), hosts(x.s.without(dumb...)))
}

// flap pulls a cable and puts it back a few times.
func flap(x *torment) (string, func()) {
	m, times := x.one(), 2+x.rnd.IntN(4)
	for range times {
		plug := x.s.unplug(m)
		last(time.Duration(x.rnd.Int64N(int64(holdMax / 4))))
		plug()
		last(time.Duration(x.rnd.Int64N(int64(holdMax / 4))))
	}
	return fmt.Sprintf("flap %s %d times", m.Name, times), func() {}
}

// living leaves out those that another fault has stopped.
func living(members []*member) []*member {
	return slices.DeleteFunc(slices.Clone(members), func(m *member) bool {
		_, alive := m.now()
		return !alive
	})
}

// die kills some nodes, which stay away for a while.
func die(x *torment) (string, func()) {
	victims := living(x.some())
	x.s.kill(victims...)
	return "kill -9 " + list(victims), func() { x.s.start(victims...) }
}

// dieTogether kills everyone at once, as a power cut does, and starts all when the power is back.
func dieTogether(x *torment) (string, func()) {
	victims := living(x.s.nodes)
	x.s.kill(victims...)
	x.hold()
	x.s.start(victims...)
	return "power cut", func() {}
}

// stop ends a node well, which stays away for a while.
func stop(x *torment) (string, func()) {
	victims := living([]*member{x.one()})
	for _, m := range victims {
		x.s.halt(m)
	}
	return "stop " + list(victims), func() { x.s.start(victims...) }
}

// reboot kills some nodes a few times in a row; they are back at once.
func reboot(x *torment) (string, func()) {
	victims, times := living(x.some()), 1+x.rnd.IntN(3)
	for range times {
		x.s.kill(victims...)
		x.s.start(victims...)
		x.hold()
	}
	return fmt.Sprintf("kill -9 %s %d times", list(victims), times), func() {}
}

// blow changes the weather at one node.
func blow(x *torment) (string, func()) {
	m := x.one()
	presets := slices.Sorted(maps.Keys(wire.Presets))
	name := presets[x.rnd.IntN(len(presets))]
	x.s.net.blow(m.host, wire.Presets[name])
	return name + " weather at " + m.Name, func() { x.s.net.blow(m.host, sky) }
}

// squeeze leaves a node a link as thin as a modem's, and a bad one.
func squeeze(x *torment) (string, func()) {
	m := x.one()
	x.s.net.blow(m.host, wire.Condition{Delay: 100 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.05, RateBytes: 16_000})
	return "squeeze " + m.Name, func() { x.s.net.blow(m.host, sky) }
}
