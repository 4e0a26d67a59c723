// What both clients are asked to do. A driver hides how a client spells it; everything else is said here once.
// The keys begin with the prefix, so that runs of several clients on one daemon do not meet.

// There is another daemon, in whose region a write is to wake who waits at this one.

export async function exercise(driver, away, prefix) {
  const key = (name) => `${prefix}:${name}`;
  const out = {};

  out.set = await driver.call("SET", key("greeting"), "hello");
  out.get = await driver.call("GET", key("greeting"));
  out.missing = await driver.call("GET", key("nothing"));
  out.binary = await driver.binary(key("binary"));

  out.pipeline = await driver.pipeline([
    ["SET", key("p1"), "a"],
    ["INCR", key("p2")],
    ["GET", key("p1")],
    ["HGET", key("p1"), "field"], // an error in the middle stays in its place
    ["INCRBY", key("p2"), "41"],
  ]);
  out.many = await manyAtOnce(driver, key("many"));

  out.sadd = await driver.call("SADD", key("set"), "a", "b", "c", "a");
  out.srem = await driver.call("SREM", key("set"), "b", "x");
  out.smembers = [...(await driver.call("SMEMBERS", key("set")))].sort();
  out.smismember = (await driver.call("SMISMEMBER", key("set"), "a", "b")).map(Number);

  out.hset = await driver.call("HSET", key("hash"), "name", "Ada", "born", "1815");
  out.hgetall = await driver.hgetall(key("hash"));
  out.hincrby = await driver.call("HINCRBY", key("hash"), "visits", "7");
  out.hmget = await driver.call("HMGET", key("hash"), "name", "none");

  out.decrby = await driver.call("DECRBY", key("counter"), "5");
  out.incrbyfloat = String(await driver.call("INCRBYFLOAT", key("float"), "2.5"));
  out.mset = await driver.call("MSET", key("m1"), "1", key("m2"), "2");
  out.mget = await driver.call("MGET", key("m1"), key("m2"), key("nothing"));

  Object.assign(out, await expiry(driver, key));
  out.scan = (await driver.scan(`${prefix}:scan:*`, 250)).length;
  out.sscan = (await driver.sscan(key("bigset"), 250)).length;
  out.type = await driver.call("TYPE", key("hash"));
  out.del = await driver.call("DEL", key("m1"), key("m2"), key("nothing"));
  out.select = await driver.otherRegion("regionof" + prefix, key("greeting"));
  out.blocking = await blocking(driver, key);
  out.wokenByMerge = await wokenByMerge(driver, away, key);
  out.refused = await message(driver.call("XACK", key("stream"), "group", "1-1"));
  out.unknown = await message(driver.call("NONSENSE", "x"));
  out.wrongtype = await message(driver.call("SADD", key("hash"), "x"));
  return out;
}

async function manyAtOnce(driver, key) {
  const replies = await Promise.all(Array.from({ length: 1000 }, () => driver.call("INCR", key)));
  return replies.every((n, i) => n === i + 1) ? replies.length : replies;
}

// expiry waits for the key's end by asking; nothing sleeps for longer than it has to.
async function expiry(driver, key) {
  const out = {};
  out.setex = await driver.call("SET", key("short"), "v", "PX", "80");
  out.pttl = (await driver.call("PTTL", key("short"))) <= 80;
  const deadline = Date.now() + 10_000;
  while ((await driver.call("EXISTS", key("short"))) === 1 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  out.gone = await driver.call("GET", key("short"));
  await driver.call("SET", key("long"), "v");
  out.expire = await driver.call("EXPIRE", key("long"), "1000");
  out.ttl = (await driver.call("TTL", key("long"))) > 990;
  out.persist = await driver.call("PERSIST", key("long"));
  out.ttlAfterPersist = await driver.call("TTL", key("long"));
  return out;
}

// blocking has other connections wait for what this one brings, or for an end to their wait.
async function blocking(driver, key) {
  const out = {};
  const [first, second] = [await driver.another(), await driver.another()];
  const replies = [await waiting(driver, first, "BLPOP", key("jobs"), "0")];
  const behind = first.call("PING"); // sent while the command before it waits
  replies.push(await waiting(driver, second, "BRPOP", key("none"), key("jobs"), "0"));
  out.pushed = await driver.call("RPUSH", key("jobs"), "one", "two");
  out.popped = (await Promise.all(replies.map((w) => w.reply))).map(([, job]) => job); // the first that waits is served first
  out.behind = await behind;
  out.left = await driver.call("LLEN", key("jobs"));

  const best = await waiting(driver, first, "BZPOPMIN", key("scores"), "0");
  const moved = await waiting(driver, second, "BLMOVE", key("jobs"), key("done"), "LEFT", "RIGHT", "0");
  await driver.call("ZADD", key("scores"), "2", "b", "1", "a");
  const [, member, score] = await best.reply;
  out.best = [member, Number(score)];
  await driver.call("RPUSH", key("jobs"), "three");
  out.moved = [await moved.reply, await driver.call("LRANGE", key("done"), "0", "-1")];

  out.timedOut = await first.call("BLPOP", key("none"), "0.01");
  const ended = message((await waiting(driver, first, "BLPOP", key("none"), "0")).reply);
  out.unblocked = await driver.call("CLIENT", "UNBLOCK", String(first.id), "ERROR");
  out.ended = (await ended).split(" ")[0];
  await Promise.all([first.close(), second.close()]);
  return out;
}

// wokenByMerge pushes at another daemon what a connection waits for at this one.
async function wokenByMerge(driver, away, key) {
  const other = await driver.another();
  const { reply } = await waiting(driver, other, "BLPOP", key("far"), "0");
  await away.call("RPUSH", key("far"), "from afar");
  const [, job] = await reply;
  await other.close();
  return job;
}

// waiting sends a command and returns its reply, yet to come and so wrapped, once the daemon says that the connection waits.
async function waiting(driver, other, ...command) {
  other.id ??= await other.call("CLIENT", "ID");
  const reply = other.call(...command);
  const deadline = Date.now() + 30_000;
  while (!/ flags=\w*b/.test(await driver.call("CLIENT", "LIST", "ID", String(other.id)))) {
    if (Date.now() > deadline) throw new Error(`${command[0]} does not wait`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return { reply };
}

async function message(promise) {
  try {
    return `no error: ${await promise}`;
  } catch (err) {
    return err.message;
  }
}

// run drives one client and prints what came out as one JSON object.
export async function run(open) {
  const [host, port, awayPort, protocol, prefix] = process.argv.slice(2);
  const connect = async (port) => {
    const driver = await open({ host, port: Number(port), protocol: Number(protocol) });
    return Object.assign(driver, { another: () => connect(port) });
  };
  const [driver, away] = [await connect(port), await connect(awayPort)];
  const out = await exercise(driver, away, prefix);
  await Promise.all([driver.close(), away.close()]);
  console.log(JSON.stringify(out));
}
