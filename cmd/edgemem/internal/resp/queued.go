package resp

import (
	"errors"
	"strings"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Where no holder of the selected region is reached, writes whose effect does not depend on what is there wait at this node, if the region allows it
// (fabric.Region.Queue). What they would answer is not known: the status is LATER in place of OK, XADD gives the id, and others answer null.

const queuedStatus = "LATER"

// blindly tells of the commands that can wait whether a line of one can.
var blindly = map[string]func(line [][]byte) bool{
	"set": setsPlainly, "setex": always, "psetex": always, "mset": always,
	"incr": always, "incrby": always, "incrbyfloat": always, "decr": always, "decrby": always,
	"sadd": always, "pfadd": always,
	"hset": always, "hmset": always, "hincrby": always, "hincrbyfloat": always,
	"zadd": plainScores, "zincrby": always,
	"xadd": addsPlainly,
}

func always([][]byte) bool { return true }

// setsPlainly: SET key value, with a time to live at most.
func setsPlainly(line [][]byte) bool {
	for i := 3; i < len(line); i += 2 {
		switch strings.ToUpper(string(line[i])) {
		case "EX", "PX", "EXAT", "PXAT":
		default:
			return false
		}
	}
	return true
}

// addsPlainly: XADD key id field value, without options.
func addsPlainly(line [][]byte) bool {
	return len(line[2]) > 0 && (line[2][0] == '*' || line[2][0] >= '0' && line[2][0] <= '9')
}

// plainScores: ZADD key score member, without options.
func plainScores(line [][]byte) bool {
	_, ok := parseFloat(line[2])
	return ok
}

// queueAll has the commands of a request wait, each by itself, and gives their replies.
func (s *Server) queueAll(region *fabric.Region, body []byte, unreached error) ([]byte, error) {
	conn := &awayConn{}
	c := newClient(s, conn, s.nextID.Add(1))
	if !s.register(c) {
		return nil, unreached
	}
	defer s.wg.Done()
	defer c.release()
	c.away = &asked{writes: true}
	c.unreached = unreached
	c.authed = true
	c.in, c.tail, c.head = body, len(body), 1
	c.setProtocol(body[0]&awayRESP3 != 0)
	c.use(region.Name(), nil)
	c.drainAway()
	return conn.sent, nil
}

// queueThis has the command that is ready wait.
func (c *client) queueThis() {
	c.ready = false
	defer c.finish()
	can := blindly[c.cmd.name]
	if c.cmd.write == nil || can == nil || !can(c.args) {
		c.fail(noHolder + c.unreached.Error() + "; '" + c.cmd.name + "' as it stands cannot wait for one")
		return
	}
	region, err := c.srv.cfg.Fabric.Region(c.labels.region)
	if err == nil {
		err = region.Queue(c.srv.ackCtx, func(tx *crdt.Tx) error {
			c.cmd.write(c, tx)
			return nil
		})
	}
	switch {
	case errors.Is(err, fabric.ErrNotQueued):
		c.undo()
		c.fail(noHolder + c.unreached.Error())
	case err != nil:
		c.undo()
		c.fail(errorWord(err) + err.Error())
	case len(c.buf) == c.start || c.buf[c.start] == '-' || c.cmd.name == "xadd":
	case c.buf[c.start] == '+':
		c.undo()
		c.status(queuedStatus)
	default:
		c.undo()
		c.null()
	}
}
