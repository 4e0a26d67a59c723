// node node-redis.mjs HOST PORT AWAYPORT PROTOCOL PREFIX
import { createClient, RESP_TYPES } from "redis";
import { run } from "./exercise.mjs";

const bytes = Buffer.from([0, 255, 13, 10, 36, 42]);

async function collect(pages) {
  const seen = new Set();
  for await (const page of pages) for (const item of page) seen.add(item);
  return [...seen];
}

async function open({ host, port, protocol }) {
  const options = { RESP: protocol, socket: { host, port, reconnectStrategy: false } };
  const client = createClient(options).on("error", () => {}); // the call that fails says it
  await client.connect();
  return {
    call: (...args) => client.sendCommand(args),
    close: () => client.close(),
    hgetall: async (key) => ({ ...(await client.hGetAll(key)) }),
    async binary(key) {
      await client.set(key, bytes);
      const typed = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      return (await typed.get(key)).equals(bytes);
    },
    async pipeline(commands) {
      const replies = await Promise.allSettled(commands.map((args) => client.sendCommand(args))); // sent at once
      return replies.map((r) => (r.status === "rejected" ? `error: ${r.reason.message}` : r.value));
    },
    async scan(pattern, keys) {
      await Promise.all(Array.from({ length: keys }, (_, i) => client.set(pattern.replace("*", i), String(i))));
      return collect(client.scanIterator({ MATCH: pattern, COUNT: 50 }));
    },
    async sscan(key, members) {
      await client.sAdd(key, Array.from({ length: members }, (_, i) => `member ${i}`));
      return collect(client.sScanIterator(key, { COUNT: 50 }));
    },
    async otherRegion(region, key) {
      const other = await createClient(options).connect();
      const answers = [await other.sendCommand(["SELECT", region]), await other.get(key)];
      await other.close();
      return answers;
    },
  };
}

await run(open);
