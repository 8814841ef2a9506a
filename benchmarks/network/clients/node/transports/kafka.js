// The Kafka protocol with @platformatic/kafka: one topic of requests, one of replies, correlation
// by key. All callers share one connection of each kind.
'use strict'

const { randomBytes } = require('node:crypto')
const { moveBytes } = require('../bodies.js')
const { peer } = require('../modules.js')

// A fetch returns with the first message. Some brokers do not end a waiting fetch when a message
// arrives, so a fetch waits only 1 ms and is then repeated.
const FETCH = { minBytes: 1, maxBytes: 64 << 20, maxWaitTime: 1 }

module.exports = async (work, { bootstrap, topic }, body) => {
  const { Consumer, ListOffsetTimestamps, Producer } = peer('@platformatic/kafka')
  const server = { clientId: 'client', bootstrapBrokers: [bootstrap] }
  const producer = new Producer({ ...server, acks: 1 })
  const consumer = new Consumer({ ...server, groupId: 'client' })
  const requests = `${topic}-${work.name}`
  const replies = `${requests}-replies`

  // Assign the partition by hand: joining a group takes seconds, and there is only one reader.
  const { id, partitions } = (await consumer.metadata({ topics: [replies] })).topics.get(replies)
  const latest = await consumer.listOffsets({
    topics: [replies],
    partitions: { [replies]: [0] },
    timestamp: ListOffsetTimestamps.LATEST
  })
  let offset = latest.get(replies)[0]

  const waiting = new Map()
  const caller = randomBytes(4).toString('hex').slice(0, 4)
  let last = 0
  let isOpen = true

  async function read() {
    const partition = {
      partition: 0,
      currentLeaderEpoch: -1,
      fetchOffset: offset,
      lastFetchedEpoch: -1,
      partitionMaxBytes: FETCH.maxBytes
    }
    const { responses } = await consumer.fetch({
      ...FETCH,
      node: partitions[0].leader,
      topics: [{ topicId: id, partitions: [partition] }]
    })
    for (const batch of responses.flatMap(response =>
      response.partitions.flatMap(one => one.records ?? [])
    )) {
      for (const record of batch.records) {
        offset = batch.firstOffset + BigInt(record.offsetDelta) + 1n
        const key = record.key.toString()
        waiting.get(key)?.resolve(record.value)
        waiting.delete(key)
      }
    }
  }

  async function readAll() {
    try {
      while (isOpen) await read()
    } catch (error) {
      for (const { reject } of waiting.values()) reject(error)
      waiting.clear()
    }
  }

  const send = asked =>
    new Promise((resolve, reject) => {
      const key = caller + (++last).toString(36).padStart(4, '0')
      waiting.set(key, { resolve, reject })
      producer
        .send({
          messages: [
            { topic: requests, partition: 0, key: Buffer.from(key), value: Buffer.from(asked) }
          ]
        })
        .catch(reject)
    })

  const reading = readAll()
  return {
    ...moveBytes(work, body, send),
    async close() {
      isOpen = false
      await reading
      await Promise.all([producer.close(), consumer.close(true)])
    }
  }
}
