// RabbitMQ with amqplib: direct reply-to, one connection and channel for all callers.
'use strict'

const { moveBytes } = require('../bodies.js')
const { peer } = require('../modules.js')

const REPLIES = 'amq.rabbitmq.reply-to'

module.exports = async (work, { host, port, queue }, body) => {
  const connection = await peer('amqplib').connect(`amqp://${host}:${port}`, { noDelay: true })
  const channel = await connection.createChannel()
  const waiting = new Map()
  let last = 0

  const fail = error => {
    for (const { reject } of waiting.values())
      reject(error ?? new Error('the connection was closed'))
    waiting.clear()
  }
  connection.on('error', fail)
  connection.on('close', fail)
  channel.on('error', fail)
  await channel.consume(
    REPLIES,
    message => {
      const id = message?.properties.correlationId
      waiting.get(id)?.resolve(message.content)
      waiting.delete(id)
    },
    { noAck: true }
  )

  const send = asked =>
    new Promise((resolve, reject) => {
      const correlationId = String(++last)
      waiting.set(correlationId, { resolve, reject })
      channel.sendToQueue(`${queue}.${work.name}`, Buffer.from(asked), {
        correlationId,
        replyTo: REPLIES
      })
    })
  return { ...moveBytes(work, body, send), close: () => connection.close() }
}
