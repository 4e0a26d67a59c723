// Sells tickets at one node: node shop.cjs HOST PORT SHOP COUNT SECONDS. It ends when so many are sold, when all are, or when no right to
// sell one came for so many seconds, and prints how many it sold.
const Redis = require('ioredis')

const [host, port, shop, count, seconds] = process.argv.slice(2)
const redis = new Redis({ host, port: Number(port) })

async function sell() {
  let sold = 0
  let patience = Date.now() + 1000 * Number(seconds)
  while (sold < Number(count) && Date.now() < patience) {
    try {
      // A node spends rights that it holds itself, so no ticket is sold twice, on line or off.
      await redis.call('EM.BOUND', 'DECR', 'tickets')
    } catch (err) {
      if (!err.message.startsWith('NORIGHTS')) throw err
      if (err.message.startsWith('NORIGHTS the limit is 0 away')) break // sold out
      await new Promise((done) => setTimeout(done, 50)) // the node has asked others for some
      continue
    }
    sold++
    await redis.xadd('sales', '*', 'shop', shop) // entries of all shops stay, whoever was off line
    await redis.sadd('shops', shop)
    patience = Date.now() + 1000 * Number(seconds)
  }
  return sold
}

sell()
  .then((sold) => console.log(sold))
  .catch((err) => { console.error(err.message); process.exitCode = 1 })
  .finally(() => redis.disconnect())
