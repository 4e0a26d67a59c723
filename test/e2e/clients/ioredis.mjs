// node ioredis.mjs HOST PORT AWAYPORT PROTOCOL PREFIX
import { Redis } from "ioredis";
import { run } from "./exercise.mjs";

const bytes = Buffer.from([0, 255, 13, 10, 36, 42]);

async function collect(stream) {
  const seen = new Set();
  for await (const page of stream) for (const item of page) seen.add(item);
  return [...seen];
}

async function open({ host, port, protocol }) {
  const options = { host, port, protocol, maxRetriesPerRequest: 0, retryStrategy: null };
  const redis = new Redis(options);
  await new Promise((resolve, reject) => redis.once("ready", resolve).once("error", reject)); // after the ready check
  return {
    call: (name, ...args) => redis.call(name, ...args),
    close: () => redis.quit(),
    hgetall: (key) => redis.hgetall(key),
    async binary(key) {
      await redis.set(key, bytes);
      return (await redis.getBuffer(key)).equals(bytes);
    },
    async pipeline(commands) {
      const replies = await redis.pipeline(commands.map(([name, ...args]) => [name.toLowerCase(), ...args])).exec();
      return replies.map(([err, reply]) => (err ? `error: ${err.message}` : reply));
    },
    async scan(pattern, keys) {
      const pipeline = redis.pipeline();
      for (let i = 0; i < keys; i++) pipeline.set(pattern.replace("*", i), i);
      await pipeline.exec();
      return collect(redis.scanStream({ match: pattern, count: 50 }));
    },
    async sscan(key, members) {
      await redis.sadd(key, Array.from({ length: members }, (_, i) => `member ${i}`));
      return collect(redis.sscanStream(key, { count: 50 }));
    },
    async otherRegion(region, key) {
      const other = new Redis(options);
      const answers = [await other.call("SELECT", region), await other.get(key)];
      await other.quit();
      return answers;
    },
  };
}

await run(open);
