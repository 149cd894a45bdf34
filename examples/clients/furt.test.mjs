// Tests of furt.mjs against a scripted gateway in this process. They need node and, for TLS, openssl; no furt.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { inspect } from 'node:util'
import { FurtError, Registration } from './furt.mjs'

const TOKEN = 'f9b3-secret-of-the-grant'
const LONGEST = 20
const REGISTER = 'POST /internal/register-service'
const INSTANCE = '/internal/services/comments/instances/comments-1'
const [BEAT, DRAIN, LEAVE] = [`POST ${INSTANCE}/heartbeat`, `POST ${INSTANCE}/drain`, `DELETE ${INSTANCE}`]
const DEFINITION = { service: 'comments', url: 'http://127.0.0.1:7812', routes: [{ method: 'GET', path: '/api/*' }] }

const now = () => performance.now() / 1000

async function until(what) {
  for (const ends = now() + LONGEST; !what(); await new Promise((done) => setTimeout(done, 5))) {
    assert.ok(now() < ends, `it did not come about within ${LONGEST} s: ${what}`)
  }
}

function problem(status, code, { headers = {}, ...fields } = {}) {
  return { status, headers, body: { type: `urn:furt:problem:${code}`, title: 'A title', status, code, ...fields } }
}

/** Answers as furt does, unless `script`, a function of the request, gives { status, body, headers }. */
class Gateway {
  requests = []
  epoch = 'epoch-1'

  static async start({ script = () => undefined, ttl = 30, port = 0, tls } = {}) {
    const gateway = Object.assign(new Gateway(), { script, ttl })
    const serve = (request, response) => gateway.#serve(request, response)
    gateway.server = tls ? https.createServer(tls, serve) : http.createServer(serve)
    gateway.server.listen(port, '127.0.0.1')
    await once(gateway.server, 'listening')
    gateway.port = gateway.server.address().port
    gateway.url = `${tls ? 'https' : 'http'}://127.0.0.1:${gateway.port}`
    cleanups.push(() => gateway.stop())
    return gateway
  }

  async #serve(incoming, response) {
    const time = now()
    let text = ''
    for await (const piece of incoming) text += piece
    const [path, query] = incoming.url.split('?')
    const request = { time, line: `${incoming.method} ${path}`, query, headers: incoming.headers, body: text && JSON.parse(text) }
    this.requests.push(request)
    const { status = 200, headers = {}, body } = (await this.script(request)) ?? this.#answer(request)
    const all = { 'x-furt-listener': 'internal', ...headers }
    response.writeHead(status, Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)))
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }

  #answer({ line }) {
    const answer = { service: 'comments', instance: 'comments-1', epoch: this.epoch, heartbeat_ttl: this.ttl }
    if (line === REGISTER) return { body: { ...answer, status: 'registered', routes: 1, health: 'UNKNOWN' } }
    if (line === BEAT) return { body: { ...answer, status: 'ok', health: 'UP' } }
    if (line === DRAIN || line === LEAVE) return { body: { status: 'draining', instances: 1, in_flight: 0, generation: 1 } }
    return problem(404, 'not-found')
  }

  lines() {
    return this.requests.map(({ line }) => line)
  }

  times(line) {
    return this.requests.filter((request) => request.line === line).map(({ time }) => time)
  }

  async stop() {
    this.server.closeAllConnections()
    if (this.server.listening) await new Promise((done) => this.server.close(done))
  }
}

let cleanups, errors, answers

beforeEach(() => {
  cleanups = []
  errors = []
  answers = []
  delete process.env.FURT_TOKEN
  delete process.env.FURT_CA
})

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

function registration(gateways, { definition = DEFINITION, ...options } = {}) {
  const urls = [gateways].flat().map((gateway) => gateway.url ?? gateway)
  const callbacks = { onError: (error) => errors.push(error), onRegistered: (answer) => answers.push(answer) }
  const made = new Registration(urls.length > 1 ? urls : urls[0], definition, { backoff: [0.05, 1], ...callbacks, ...options })
  cleanups.push(() => made.stop({ grace: 0 }))
  return made
}

const start = (gateways, options) => registration(gateways, options).start({ wait: LONGEST })
const texts = () => errors.map(String).join(' | ')

test('it registers and beats at a third of the TTL', async () => {
  const gateway = await Gateway.start({ ttl: 1 })
  const made = await start(gateway)
  assert.equal(made.registered, true)
  await until(() => gateway.requests.length >= 6)
  const [first, ...beats] = gateway.requests.slice(0, 6)
  assert.equal(first.line, REGISTER)
  assert.equal(first.headers['content-type'], 'application/json')
  const { incarnation, ...body } = first.body
  assert.match(incarnation, /^[!-~]{1,64}$/)
  assert.deepEqual(body, { ...DEFINITION, heartbeat_ttl: 30 })
  for (const beat of beats) assert.deepEqual([beat.line, beat.query], [BEAT, `incarnation=${incarnation}`])
  const gaps = beats.map((beat, number) => beat.time - gateway.requests[number].time)
  assert.ok(Math.min(...gaps) > 0.32 && Math.min(...gaps) < 0.48, String(gaps))
  assert.equal(answers[0].status, 'registered')
  assert.deepEqual(errors, [])
})

test('the incarnation is one of the process', async () => {
  const gateway = await Gateway.start()
  for (let count = 0; count < 2; count += 1) await (await start(gateway)).stop()
  const [one, other] = gateway.requests.filter(({ line }) => line === REGISTER)
  assert.equal(one.body.incarnation, other.body.incarnation)
})

test('a TTL that an answer to a heartbeat changes is taken', async () => {
  const gateway = await Gateway.start({ ttl: 1 })
  await start(gateway)
  gateway.ttl = 6
  await until(() => gateway.times(BEAT).length >= 2)
  const [before, after] = gateway.times(BEAT)
  assert.ok(after - before > 1.98, `${after - before}`)
})

for (const [status, code] of [[429, 'rate-limited'], [503, 'stopping']]) {
  test(`Retry-After of a ${status} is kept`, async () => {
    const script = () => (gateway.requests.length > 1 ? undefined : problem(status, code, { headers: { 'retry-after': '1' } }))
    const gateway = await Gateway.start({ script })
    await start(gateway, { backoff: [0.01, 0.02] })
    const [first, second] = gateway.times(REGISTER)
    assert.ok(second - first > 0.99, `${second - first}`)
  })
}

test('an HTTP date as Retry-After is as none', async () => {
  const headers = { 'retry-after': 'Wed, 21 Oct 2099 07:28:00 GMT' }
  const gateway = await Gateway.start({ script: () => (gateway.requests.length > 2 ? undefined : problem(503, 'busy', { headers })) })
  await start(gateway)
})

for (const [status, code] of [[404, 'not-found'], [412, 'another-incarnation']]) {
  test(`a ${status} to a heartbeat registers again`, async () => {
    const script = ({ line }) => (line === BEAT && gateway.times(BEAT).length === 1 ? problem(status, code) : undefined)
    const gateway = await Gateway.start({ script, ttl: 1 })
    await start(gateway)
    await until(() => gateway.times(BEAT).length >= 2)
    assert.deepEqual(gateway.lines().slice(0, 4), [REGISTER, BEAT, REGISTER, BEAT])
    assert.deepEqual(errors, [])
  })
}

test('another epoch registers again', async () => {
  const gateway = await Gateway.start({ ttl: 1 })
  await start(gateway)
  gateway.epoch = 'epoch-2'
  await until(() => gateway.times(BEAT).length >= 2)
  assert.deepEqual(gateway.lines().slice(0, 4), [REGISTER, BEAT, REGISTER, BEAT])
})

test('the back-off grows while a gateway fails and ends when it is well', async () => {
  let isWell = false
  const gateway = await Gateway.start({ script: () => (isWell ? undefined : problem(500, 'internal')) })
  const made = registration(gateway)
  await made.start()
  await until(() => gateway.requests.length >= 5)
  assert.equal(made.registered, false)
  isWell = true
  await until(() => made.registered)
  const times = gateway.times(REGISTER).slice(0, 5)
  const gaps = times.slice(1).map((time, number) => time - times[number])
  gaps.forEach((gap, number) => assert.ok(gap > (0.05 * 2 ** number) / 2 - 0.005, String(gaps)))
  assert.ok(gaps[3] > gaps[0] * 1.5, String(gaps))
  assert.equal(errors.length, 1, texts())
  assert.match(texts(), /500 internal; A title/)
  assert.equal(errors[0].final, false)
})

test('a registration waits for a gateway that refuses connections', async () => {
  const reserved = net.createServer().listen(0, '127.0.0.1')
  await once(reserved, 'listening')
  const { port } = reserved.address()
  await new Promise((done) => reserved.close(done))
  const made = registration(`http://127.0.0.1:${port}`)
  await made.start()
  await until(() => errors.length)
  assert.match(texts(), /ECONNREFUSED/)
  const gateway = await Gateway.start({ port })
  await until(() => made.registered)
  assert.deepEqual(gateway.lines(), [REGISTER])
})

test('the back-off of a registered instance is a third of the TTL at most', async () => {
  const script = ({ line }) => (line === BEAT ? problem(503, 'busy') : undefined)
  const gateway = await Gateway.start({ script, ttl: 1 })
  await start(gateway, { backoff: [0.3, 600] })
  await until(() => gateway.times(BEAT).length >= 8)
  assert.equal(gateway.times(REGISTER).length, 1)
})

test('a 422 stops it and tells all errors', async () => {
  const wrong = [{ pointer: '/routes/0/path', detail: 'write *' }, { pointer: '/weight', detail: '1 to 255' }]
  const refusal = problem(422, 'invalid-fields', { detail: '2 fields are wrong', errors: wrong, request_id: 'r-1' })
  const gateway = await Gateway.start({ script: () => refusal })
  const error = await start(gateway).then(() => assert.fail(), (thrown) => thrown)
  assert.ok(error instanceof FurtError)
  for (const text of ['422 invalid-fields; A title; 2 fields are wrong', '/routes/0/path: write *', '/weight: 1 to 255']) {
    assert.ok(error.message.includes(text), error.message)
  }
  assert.deepEqual([error.status, error.problem.code, error.final, error.problem.request_id], [422, 'invalid-fields', true, 'r-1'])
  assert.deepEqual(error.problem.errors, wrong)
  assert.deepEqual(errors, [error])
  assert.deepEqual(gateway.lines(), [REGISTER])
})

for (const status of [400, 413, 415]) {
  test(`a ${status} stops it without a wait as well`, async () => {
    const gateway = await Gateway.start({ script: () => problem(status, 'x') })
    const made = registration(gateway)
    await made.start()
    await until(() => errors.length)
    assert.equal(await made.stop(), 0)
    assert.equal(errors[0].final, true)
    assert.deepEqual(gateway.lines(), [REGISTER])
  })
}

for (const [status, code] of [[401, 'token-missing'], [403, 'not-owner'], [409, 'taken'], [412, 'another-incarnation']]) {
  test(`a ${status} may become right: it is told once and tried again`, async () => {
    let isRight = false
    const gateway = await Gateway.start({ script: () => (isRight ? undefined : problem(status, code, { detail: 'why' })) })
    const made = registration(gateway)
    await made.start()
    await until(() => gateway.requests.length >= 3)
    isRight = true
    await until(() => made.registered)
    assert.deepEqual(errors.map(({ message }) => message), [`127.0.0.1:${gateway.port} refused: ${status} ${code}; A title; why`])
    assert.equal(errors[0].final, false)
  })
}

test('a 422 after it was registered is tried again', async () => {
  let isRight = true
  const script = ({ line }) => (isRight ? undefined : problem(line === BEAT ? 404 : 422, 'x'))
  const made = await start(await Gateway.start({ script, ttl: 1 }))
  isRight = false
  await until(() => errors.at(-1)?.status === 422)
  isRight = true
  await until(() => made.registered)
  assert.equal(errors.at(-1).final, false)
})

// A registration that was refused is not there; one without an answer may be.
for (const [status, isDeleted] of [[409, false], [503, true]]) {
  test(`a start that waits throws when its time is over and leaves nothing behind: ${status}`, async () => {
    const script = ({ line }) => (line === REGISTER ? problem(status, 'x', { detail: 'why' }) : undefined)
    const gateway = await Gateway.start({ script })
    const made = registration(gateway)
    await assert.rejects(made.start({ wait: 0.3 }), /not registered within 0.3 s: .* x; A title; why/)
    const count = gateway.requests.length
    assert.equal(gateway.lines().at(-1) === 'DELETE /internal/services/comments/instances/comments', isDeleted)
    assert.equal(await made.stop(), 0)
    assert.equal(gateway.requests.length, count)
  })
}

for (const reply of [
  problem(503, 'stopping'),
  { body: {}, headers: { 'x-furt-listener': undefined } },
  { status: 302, body: {}, headers: { 'x-furt-listener': undefined, location: '/x' } },
]) {
  test(`the second gateway takes over and is asked first then, after ${reply.status ?? 'an answer of a stranger'}`, async () => {
    let isWell = true
    const first = await Gateway.start({ script: () => (isWell ? undefined : reply), ttl: 1 })
    const second = await Gateway.start({ ttl: 1 })
    await start([first, second])
    isWell = false
    await until(() => second.requests.length >= 3)
    assert.deepEqual(second.lines().slice(0, 3), [BEAT, BEAT, BEAT])
    assert.deepEqual(first.lines(), [REGISTER, BEAT])
    assert.deepEqual(errors, [])
  })
}

test('a 4xx is an answer and no other gateway is asked', async () => {
  const [first, second] = [await Gateway.start({ script: () => problem(409, 'taken') }), await Gateway.start()]
  await registration([first, second]).start()
  await until(() => first.requests.length >= 3)
  assert.deepEqual(second.lines(), [])
})

test('a gateway that asked for a pause is passed over', async () => {
  const first = await Gateway.start({ script: () => problem(503, 'busy', { headers: { 'retry-after': '3600' } }) })
  const second = await Gateway.start({ script: () => (second.requests.length > 2 ? undefined : problem(503, 'busy')) })
  await start([first, second])
  assert.deepEqual([first.lines(), second.lines()], [[REGISTER], [REGISTER, REGISTER, REGISTER]])
})

for (const sent of ['', 'HTTP/1.1 200 OK\r\nX-Furt-Listener: internal\r\n', 'nonsense\r\n\r\n']) {
  test(`silence, a trickle and what is no answer lead to the next gateway: ${JSON.stringify(sent)}`, async () => {
    const listener = net.createServer((socket) => {
      socket.on('error', () => {})
      // Each byte comes well within the timeout, and the answer never ends.
      const timer = setInterval(() => socket.write('X'), 20)
      socket.on('close', () => clearInterval(timer))
      socket.once('data', () => socket.write(sent))
    })
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    cleanups.push(() => new Promise((done) => listener.close(done)))
    const begin = now()
    await start([`http://127.0.0.1:${listener.address().port}`, await Gateway.start()], { timeout: 0.4 })
    assert.ok(now() - begin < 5)
  })
}

test('an answer that is too large is not read to its end', async () => {
  let isLarge = true
  const gateway = await Gateway.start({ script: () => (isLarge ? { body: `{"x": "${'y'.repeat(2 * 1024 * 1024)}"}` } : undefined) })
  const made = registration(gateway)
  await made.start()
  await until(() => errors.length)
  assert.match(texts(), /larger than 1 MiB/)
  isLarge = false
  await until(() => made.registered)
})

test('stop drains and deregisters', async () => {
  const gateway = await Gateway.start()
  const made = await start(gateway, { grace: 3 })
  assert.equal(await made.stop(), 0)
  assert.deepEqual(gateway.lines(), [REGISTER, BEAT, DRAIN, LEAVE])
  const { incarnation } = gateway.requests[0].body
  const [wait, named] = gateway.requests[2].query.split('&')
  assert.ok(Number(wait.slice('wait='.length)) > 2 && Number(wait.slice('wait='.length)) <= 3, wait)
  assert.deepEqual([named, gateway.requests[3].query], [`incarnation=${incarnation}`, `incarnation=${incarnation}`])
  assert.equal(await made.stop(), 0)
  assert.equal(gateway.requests.length, 4)
})

test('a drain goes on until nothing is in flight, and the instance is kept alive meanwhile', async () => {
  const left = [2, 1, 0]
  const script = ({ line }) => (line === DRAIN ? { body: { status: 'draining', in_flight: left.shift() } } : undefined)
  const gateway = await Gateway.start({ script, ttl: 3 })
  const made = await start(gateway)
  assert.equal(await made.stop({ grace: 60 }), 0)
  assert.deepEqual(gateway.lines(), [REGISTER, BEAT, DRAIN, BEAT, DRAIN, BEAT, DRAIN, LEAVE])
  assert.ok(gateway.requests[2].query.startsWith('wait=1&'), gateway.requests[2].query)
})

test('a drain ends with the grace', async () => {
  const script = ({ line }) => ([DRAIN, LEAVE].includes(line) ? { body: { in_flight: 7 } } : undefined)
  const made = await start(await Gateway.start({ script }))
  assert.equal(await made.stop({ grace: 0.3 }), 7)
})

test('a stop without a gateway tells it and gives null', async () => {
  const gateway = await Gateway.start()
  const made = await start(gateway)
  await gateway.stop()
  assert.equal(await made.stop(), null)
  assert.match(texts(), /ECONNREFUSED/)
})

test('a stop of an instance that is gone is good', async () => {
  let isGone = false
  const made = await start(await Gateway.start({ script: () => (isGone ? problem(404, 'not-found') : undefined) }))
  isGone = true
  assert.equal(await made.stop(), 0)
  assert.deepEqual(errors, [])
})

test('a stop keeps Retry-After', async () => {
  const refusal = problem(503, 'busy', { headers: { 'retry-after': '1' } })
  const gateway = await Gateway.start({ script: () => (gateway.requests.length === 2 ? refusal : undefined) })
  const made = await start(gateway)
  assert.equal(await made.stop({ grace: 0 }), 0)
  const [first, second] = gateway.times(LEAVE)
  assert.ok(second - first > 0.99, `${second - first}`)
})

test('the token is in the header and in no error', async () => {
  const script = ({ headers }) => problem(403, 'beyond-grant', { detail: headers.authorization, errors: [{ detail: TOKEN }] })
  const gateway = await Gateway.start({ script })
  const made = registration(gateway, { token: ` ${TOKEN}\n` })
  await made.start()
  await until(() => errors.length)
  assert.equal(gateway.requests[0].headers.authorization, `Bearer ${TOKEN}`)
  assert.match(errors[0].message, /Bearer \[token\]/)
  assert.ok(!inspect([errors, made], { depth: 9, showHidden: true }).includes(TOKEN))
  assert.throws(() => registration(gateway, { token: `${TOKEN}\r\nX: y` }), (error) => !inspect(error).includes(TOKEN))
})

test('the token of the environment is taken, and none is sent without one', async () => {
  for (const token of [TOKEN, '']) {
    process.env.FURT_TOKEN = token
    const gateway = await Gateway.start()
    await start(gateway)
    assert.equal(gateway.requests[0].headers.authorization, token ? `Bearer ${token}` : undefined)
  }
})

test('a url that is none of a gateway is refused and not shown', () => {
  const urls = ['127.0.0.1:8081', 'ftp://a', 'http://u:secret@a', 'http://a/x', 'http://a:0', 'http://a:99999', '', []]
  for (const url of urls) {
    assert.throws(() => new Registration(url, DEFINITION), (error) => error instanceof TypeError && !error.message.includes('secret'))
  }
  for (const url of ['http://a', 'https://[::1]:80/']) new Registration(url, DEFINITION)
})

test('a callback that fails changes nothing', async (context) => {
  const told = context.mock.method(console, 'error', () => {})
  const fail = () => { throw new Error('for the test') }
  const gateway = await Gateway.start({ script: () => (gateway.requests.length > 1 ? undefined : problem(500, 'internal')) })
  await start(gateway, { onError: fail, onRegistered: fail })
  assert.equal(told.mock.callCount(), 2)
})

test('https trusts the given authority alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'furt-'))
  cleanups.push(() => rmSync(folder, { recursive: true }))
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const make = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=furt -addext subjectAltName=IP:127.0.0.1'
  execFileSync('openssl', [...make.split(' '), '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const gateway = await Gateway.start({ tls: { cert: readFileSync(cert), key: readFileSync(key) } })
  await registration(gateway, { token: TOKEN }).start()
  await until(() => errors.length)
  assert.match(texts(), /self.signed certificate/)
  assert.deepEqual(gateway.requests, [])
  await start(gateway, { ca: cert, token: TOKEN })
})

test('stop gives the listeners of SIGTERM back', async () => {
  const listener = () => {}
  process.on('SIGTERM', listener)
  cleanups.push(() => process.removeListener('SIGTERM', listener))
  const before = process.rawListeners('SIGTERM')
  const made = await start(await Gateway.start(), { drainOnSigterm: true })
  assert.notDeepEqual(process.rawListeners('SIGTERM'), before)
  await made.stop()
  assert.deepEqual(process.rawListeners('SIGTERM'), before)
})

const PROGRAM = `
import { Registration } from '${new URL('./furt.mjs', import.meta.url)}'
const [url, kind] = process.argv.slice(1)
const ended = (text, code) => { console.log(text); process.exitCode = code; clearInterval(alive) }
if (kind === 'previous' || kind === 'both') process.once('SIGTERM', (name, number) => ended(name + number, 3))
const options = { drainOnSigterm: true, grace: 5, onRegistered: () => console.log('registered') }
if (kind === 'callback' || kind === 'both') options.onSigterm = () => ended('callback', 4)
const alive = setInterval(() => {}, kind === 'idle' ? 1 : 1000)
const definition = { service: 'comments', url: 'http://127.0.0.1:7812' }
await new Registration(url, definition, options).start()
if (kind === 'two') await new Registration(url, definition, options).start()
if (kind === 'idle') clearInterval(alive)
`

async function program(kind, { script, says = 'registered\n'.repeat(kind === 'two' ? 2 : 1) } = {}) {
  const gateway = await Gateway.start({ script })
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, gateway.url, kind], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  cleanups.push(async () => { child.kill('SIGKILL'); await ended })
  const said = { text: '', of: child }
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (piece) => { said.text += piece })
  await until(() => said.text.includes(says))
  return { gateway, child, ended, said }
}

for (const [kind, text, code] of [['default', '', null], ['previous', 'SIGTERM15\n', 3], ['callback', 'callback\n', 4], ['both', 'callback\n', 4]]) {
  test(`SIGTERM drains and deregisters, and then goes on as before: ${kind}`, async () => {
    const { gateway, child, ended, said } = await program(kind)
    child.kill('SIGTERM')
    assert.deepEqual(await ended, [code, code === null ? 'SIGTERM' : null])
    await until(() => said.text === `registered\n${text}`)
    assert.deepEqual(gateway.lines(), [REGISTER, BEAT, DRAIN, LEAVE])
  })
}

test('a second SIGTERM does not wait for the drain', async () => {
  let answer
  const script = ({ line }) => (line === DRAIN ? new Promise((done) => { answer = done }) : undefined)
  const { gateway, child, ended, said } = await program('callback', { script })
  child.kill('SIGTERM')
  await until(() => answer)
  child.kill('SIGTERM')
  await until(() => said.text.includes('callback'))
  assert.ok(!gateway.lines().includes(LEAVE))
  answer()
  assert.deepEqual(await ended, [4, null])
  assert.equal(said.text, 'registered\ncallback\n')
})

test('two registrations of a process leave one after the other', async () => {
  const { gateway, child, ended } = await program('two')
  child.kill('SIGTERM')
  assert.deepEqual(await ended, [null, 'SIGTERM'])
  assert.deepEqual(gateway.lines().slice(2), [BEAT, DRAIN, LEAVE, BEAT, DRAIN, LEAVE])
})

test('SIGTERM ends a program whose registration was refused', async () => {
  const script = () => problem(422, 'invalid-fields')
  const { child, ended } = await program('default', { script, says: '422 invalid-fields' })
  child.kill('SIGTERM')
  assert.deepEqual(await ended, [null, 'SIGTERM'])
})

test('a registration does not keep a process alive', async () => {
  const { ended } = await program('idle')
  assert.deepEqual(await ended, [0, null])
})
