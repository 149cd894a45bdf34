'use strict'
// Asks a gateway over HTTP/2 by node's own client, every kind of request; exits with 1 at the first that is wrong. At last it has a
// request under way, says so, and waits for the end of the connection.
// Usage: URL [CA]

const assert = require('assert')
const fs = require('fs')
const http2 = require('http2')

const [url, ca] = process.argv.slice(2)
const authority = 'a.example'
const options = ca ? { ca: fs.readFileSync(ca), servername: authority } : {}
const session = http2.connect(url, options)

// A whole answer.
function ask (headers, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':authority': authority, ...headers }, { endStream: body === undefined })
    const answer = { body: [], trailers: null }
    stream.on('response', headers => { answer.headers = headers })
    stream.on('trailers', trailers => { answer.trailers = trailers })
    stream.on('data', part => answer.body.push(part))
    stream.on('error', reject)
    stream.on('close', () => resolve({ ...answer, body: Buffer.concat(answer.body) }))
    if (body !== undefined) stream.end(body)
  })
}

async function main () {
  const one = await ask({ ':path': '/echo/a?b=c' })
  assert.strictEqual(one.headers[':status'], 200)
  assert.strictEqual(JSON.parse(one.body).query, 'b=c')
  if (ca) assert.strictEqual(session.alpnProtocol, 'h2')

  const many = await Promise.all(Array.from({ length: 200 }, (_, n) => ask({ ':path': `/echo/${n}` })))
  many.forEach((answer, n) => assert.strictEqual(JSON.parse(answer.body).path, `/echo/${n}`))

  const large = Buffer.alloc(3_000_000, 'some text ')
  const mirrored = await ask({ ':path': '/mirror/a', ':method': 'POST' }, large)
  assert(mirrored.body.equals(large), `${mirrored.body.length} bytes`)

  const head = await ask({ ':path': '/echo/a', ':method': 'HEAD' })
  assert.deepStrictEqual([head.headers[':status'], head.body.length], [200, 0])

  const trailed = await ask({ ':path': '/trailers/a', ':method': 'POST', te: 'trailers' }, 'hello')
  assert.strictEqual(trailed.body.toString(), 'hello')
  assert.strictEqual(trailed.trailers['x-sum'], '5')

  const missing = await ask({ ':path': '/nothing' })
  assert.strictEqual(missing.headers[':status'], 404)
  assert.strictEqual(JSON.parse(missing.body).code, 'route-not-found')

  const told = []
  session.on('goaway', (code, last) => told.push([code, last]))
  const ended = new Promise(resolve => session.on('close', resolve))
  const slow = ask({ ':path': '/slow/a' })
  console.log('asked')
  const answer = await slow
  assert.strictEqual(answer.headers[':status'], 200)
  await ended
  assert(told.length > 0 && told.every(([code]) => code === http2.constants.NGHTTP2_NO_ERROR), JSON.stringify(told))
  console.log('all is well')
}

setTimeout(() => { throw new Error('it takes too long') }, 90_000).unref()
main().catch(error => {
  console.error(error)
  process.exit(1)
})
