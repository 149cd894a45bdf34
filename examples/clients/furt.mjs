/**
 * Registers a service with furt and keeps it registered. Node 18 or newer, without dependencies. One loop does everything, one step
 * after the other, so that a registration never follows the order to leave. Its timers do not keep the process alive. No error and
 * no warning holds the token.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'

const DEFAULT_TTL = 30 // Longer than that of `furt join`, 10 s: a client within the process pauses when the process does.
const MAX_ANSWER_BYTES = 1024 * 1024 // furt answers these calls with a few KiB. A stranger at the address may send anything.
const FAREWELL = 5 // For what is left to say after the drain: a few gateways in turn.
const [LONGEST_DRAIN, LONGEST_TTL] = [3600, 86400] // furt's own bounds. The latter is one of Retry-After as well.
// These blame the registration itself. 401, 403, 409 and 412 may become right: a grant, an owner or a rival may change.
const FINAL = [400, 413, 415, 422]
const GONE = [404, 412] // The registration expired, or another process has its place.
// Not `URL`, which does not tell `http://a:80` from `http://a`.
const GATEWAY = /^(https?):\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?\/?$/
const INCARNATION = randomUUID()

const now = () => performance.now() / 1000
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const ms = (seconds) => Math.ceil(Math.max(0, seconds) * 1000) + 1 // A timer may be early, by less than that.
const sleep = (seconds) => new Promise((done) => setTimeout(done, ms(seconds)))

/** Why a gateway did not do what it was asked. `problem` is its answer, if there was one. `final`: it is not tried again. */
export class FurtError extends Error {
  name = 'FurtError'
  final = false
  /** @param {string} message @param {number} [status] @param {Record<string, any>} [problem] */
  constructor(message, status, problem) {
    super(message)
    this.status = status
    this.problem = problem
  }
}

function gatewayAt(url) {
  const [, scheme, host, port = '8081'] = GATEWAY.exec(url) ?? []
  if (!host || Number(port) < 1 || Number(port) > 65535) { // The url is not shown: a password may be in it.
    throw new TypeError("a gateway's url is http or https, a host and an optional port, and nothing else")
  }
  return { isHttps: scheme === 'https', host: host.replace(/[[\]]/g, ''), port, name: `${host}:${port}`, heldUntil: 0 }
}

function describe(status, problem) {
  const said = [`${status} ${problem.code ?? ''}`.trim(), problem.title, problem.detail]
  const errors = Array.isArray(problem.errors) ? problem.errors.filter(isObject) : []
  said.push(...errors.map((error) => `${error.pointer || error.parameter || 'error'}: ${error.detail}`))
  return said.filter(Boolean).join('; ')
}

/**
 * @typedef {object} Options
 * @property {string} [token] the token of the grant; by default that of the environment variable FURT_TOKEN
 * @property {string} [ca] a PEM file with the authority to trust alone for https; by default the file that FURT_CA names
 * @property {number} [timeout] seconds for one request
 * @property {number} [grace] seconds for the drain
 * @property {[number, number]} [backoff] the shortest and the longest pause after a failure, in seconds
 * @property {(error: FurtError) => void} [onError]
 * @property {(answer: Record<string, any>) => void} [onRegistered]
 * @property {boolean} [drainOnSigterm] whether to leave on SIGTERM before the listeners that are there, or the default, get it
 * @property {() => void} [onSigterm] is called then in their place
 */

/** A service that is registered from `start` to `stop`. It can be started once. */
export class Registration {
  registered = false // Whether the last exchange with a gateway was good.
  #gateways; #definition; #body; #token; #ca; #options; #loop; #leaving; #told; #instance; #epoch; #beat; #previous
  #isSent = false; #signals = 0; #wake = () => {}; #settle = (_error) => {}

  /** @param {string | string[]} url the internal listener of a gateway, or a list of several
   * @param {Record<string, any>} definition the body of the registration, without `incarnation` @param {Options} [options] */
  constructor(url, definition, options = {}) {
    this.#gateways = [url].flat().map(gatewayAt)
    if (!this.#gateways.length) throw new TypeError('a Registration needs the url of a gateway')
    this.#token = (options.token ?? process.env.FURT_TOKEN ?? '').trim()
    if (!/^[!-~]*$/.test(this.#token)) {
      throw new TypeError("the token has a character that cannot be sent, such as a line's end within it")
    }
    const ca = options.ca || process.env.FURT_CA
    if (ca && this.#gateways.some((gateway) => gateway.isHttps)) this.#ca = readFileSync(ca)
    this.#definition = { heartbeat_ttl: DEFAULT_TTL, ...definition, incarnation: INCARNATION }
    this.#body = JSON.stringify(this.#definition)
    const warn = (error) => console.warn(`furt: ${error.message}`)
    this.#options = { timeout: 2, grace: 10, backoff: [0.5, 30], onError: warn, onRegistered: () => {}, ...options }
  }

  /** Begins to register. With `wait`, in seconds, it returns once the service is registered; else it stops and throws.
   * @param {{ wait?: number }} [how] @returns {Promise<this>} */
  async start({ wait } = {}) {
    if (this.#loop) throw new Error('a Registration can be started once')
    if (this.#options.drainOnSigterm) this.#takeSigterm()
    const settled = new Promise((done) => { this.#settle = done })
    this.#loop = this.#keepRegistered()
    if (wait === undefined) return this
    const late = () => this.#settle(new FurtError(`not registered within ${wait} s: ${this.#told ?? 'no answer yet'}`))
    const timer = setTimeout(late, ms(wait))
    const error = await settled
    clearTimeout(timer)
    if (!error) return this
    await this.stop({ grace: 0 })
    throw error
  }

  /** Drains for up to `grace` seconds, and deregisters. Returns how many requests are still in flight, or null if no gateway did it:
   * then the instance goes when its TTL is over.
   * @param {{ grace?: number }} [how] @returns {Promise<number | null>} */
  async stop({ grace = this.#options.grace } = {}) {
    this.#leaving ??= Promise.resolve(this.#loop).then(() => this.#leave(grace))
    this.#wake()
    const inFlight = await this.#leaving
    this.registered = false
    this.#giveSigtermBack()
    return inFlight
  }

  #takeSigterm() {
    // Listeners would all be called at once, and so end the process before the drain. `raw` ones know whether they are for once.
    this.#previous = process.rawListeners('SIGTERM')
    process.on('SIGTERM', this.#handleSigterm)
    for (const listener of this.#previous) process.removeListener('SIGTERM', listener)
  }

  #giveSigtermBack() {
    // A registration that began later may hold this handler, and still call it.
    if (!this.#previous || !process.listeners('SIGTERM').includes(this.#handleSigterm)) return
    for (const listener of this.#previous) process.on('SIGTERM', listener)
    process.removeListener('SIGTERM', this.#handleSigterm)
    this.#previous = undefined
  }

  #handleSigterm = async () => {
    const previous = this.#previous ?? []
    this.#signals += 1
    if (this.#signals === 1) await this.stop()
    // A second signal, whose sender did not want to wait, has gone on.
    if (this.#signals > 2) return
    this.#signals = 3
    this.#giveSigtermBack()
    if (this.#options.onSigterm) return this.#options.onSigterm()
    for (const listener of previous) listener.call(process, 'SIGTERM', 15)
    if (!previous.length && !process.listenerCount('SIGTERM')) process.kill(process.pid, 'SIGTERM')
  }

  async #keepRegistered() {
    for (let failures = 0; !this.#leaving;) {
      let pause = 0
      try {
        await this.#step()
        pause = this.#beat ?? 0
        failures = 0
        this.#told = undefined
        this.registered = true
        this.#settle()
      } catch (error) {
        this.registered = false
        error.final = FINAL.includes(error.status) && !this.#instance
        if (error.message !== this.#told) this.#call(this.#options.onError, error) // Once, and not with each try.
        this.#told = error.message
        this.#isSent = !error.status || this.#instance !== undefined
        if (error.final) return this.#settle(error)
        // A third of the TTL at most: a gateway that is back must hear the instance before the instance expires.
        const [shortest, bound] = this.#options.backoff
        const longest = Math.max(shortest, Math.min(bound, this.#beat ?? bound))
        pause = Math.min(longest, shortest * 2 ** Math.min(failures, 32)) * (0.5 + Math.random() / 2)
        pause = Math.max(pause, this.#heldUntil() - now())
        failures += 1
      }
      if (this.#leaving) return
      await new Promise((done) => {
        const timer = setTimeout(done, ms(pause)).unref()
        this.#wake = () => { clearTimeout(timer); done(undefined) }
      })
    }
  }

  async #step() {
    let answer = this.#epoch ? await this.#aboutInstance('POST', '/heartbeat?') : {}
    const isNew = !this.#epoch || answer.epoch !== this.#epoch
    if (isNew) {
      this.#epoch = undefined
      this.#isSent = true
      answer = await this.#ask('POST', '/internal/register-service', this.#body)
    }
    const { heartbeat_ttl: ttl, instance, epoch } = answer
    if (!(ttl > 0 && instance && epoch)) throw new FurtError("a gateway's answer has no heartbeat_ttl, instance or epoch")
    this.#beat = Math.min(Math.max(ttl, 1), LONGEST_TTL) / 3
    this.#instance = instance
    this.#epoch = epoch
    if (isNew) this.#call(this.#options.onRegistered, answer)
  }

  async #leave(grace) {
    if (!this.#isSent) return 0
    const ends = now() + Math.min(Math.max(grace, 0), LONGEST_DRAIN)
    const deadline = ends + FAREWELL
    try {
      while (now() < ends) {
        // It finds out a silent gateway, for which a drain would wait, and keeps the instance from expiring in the drain.
        await this.#aboutInstance('POST', '/heartbeat?', 0, deadline)
        const wait = Number(Math.max(0, Math.min(ends - now(), this.#beat ?? 1)).toFixed(3))
        if (!(await this.#aboutInstance('POST', `/drain?wait=${wait}&`, wait, deadline)).in_flight) break
        // furt answers early when it stops, and when an operator ends the drain.
        await sleep(Math.min(ends - now(), this.#options.backoff[0]))
      }
    } catch {
      // It leaves without a drain: requests that have begun go on.
    }
    try {
      return (await this.#aboutInstance('DELETE', '?', 0, deadline)).in_flight ?? 0
    } catch (error) {
      this.#call(this.#options.onError, error)
      return null
    }
  }

  async #aboutInstance(method, what, wait, deadline) {
    const { service, instance } = this.#definition
    // A registration without an answer may be installed all the same.
    const names = [service, this.#instance ?? instance ?? service].map(encodeURIComponent)
    const path = `/internal/services/${names.join('/instances/').replaceAll('%3A', ':')}${what}incarnation=${INCARNATION}`
    try {
      return await this.#ask(method, path, '', wait, deadline)
    } catch (error) {
      if (error instanceof FurtError && GONE.includes(error.status)) return {}
      throw error
    }
  }

  #heldUntil() {
    return Math.min(...this.#gateways.map((gateway) => gateway.heldUntil))
  }

  /** Asks the gateways in turn, first the one that answered last. An answer of 4xx is an answer: no other one is asked. */
  async #ask(method, path, body = '', wait = 0, deadline = Infinity) {
    for (;;) {
      const [tries, begin] = [[], now()]
      for (const gateway of this.#gateways) {
        try {
          if (begin < gateway.heldUntil) throw new Error('it asked for a pause (Retry-After)')
          const within = Math.min(this.#options.timeout + wait, deadline - now())
          const { status, answer } = await this.#exchange(gateway, method, path, body, within)
          if (status >= 500) throw new Error(describe(status, answer))
          this.#gateways = [gateway, ...this.#gateways.filter((one) => one !== gateway)]
          if (status < 300) return answer
          throw new FurtError(`${gateway.name} refused: ${describe(status, answer)}`, status, answer)
        } catch (error) {
          if (error instanceof FurtError) throw error
          tries.push(`${gateway.name}: ${error.message || error.code}`)
        }
      }
      const until = this.#heldUntil()
      if (until <= begin || until >= deadline || deadline === Infinity) throw new FurtError(`no gateway did it: ${tries.join('; ')}`)
      await sleep(until - now())
    }
  }

  #exchange(gateway, method, path, body, within) {
    const headers = { host: gateway.name, 'user-agent': 'furt.mjs', accept: 'application/json', connection: 'close' }
    const more = { 'content-length': Buffer.byteLength(body), ...(body && { 'content-type': 'application/json' }) }
    if (this.#token) Object.assign(more, { authorization: `Bearer ${this.#token}` })
    const where = { host: gateway.host, port: gateway.port, method, path, headers: { ...headers, ...more } }
    const options = { ...where, agent: false, autoSelectFamily: true, ca: this.#ca }
    return new Promise((resolve, reject) => {
      const fail = (message) => { reject(new Error(message)); request.destroy() }
      const request = (gateway.isHttps ? https : http).request(options, (response) => {
        const { statusCode: status = 0, headers } = response
        const pause = headers['retry-after'] ?? ''
        if (status >= 300 && /^[0-9]{1,9}$/.test(pause)) gateway.heldUntil = now() + Math.min(Number(pause), LONGEST_TTL)
        response.on('error', reject)
        if (headers['x-furt-listener'] !== 'internal') return fail(`it answered ${status} and is not furt's internal listener`)
        let text = Buffer.alloc(0)
        response.on('data', (piece) => {
          text = Buffer.concat([text, piece])
          if (text.length > MAX_ANSWER_BYTES) fail('its answer is larger than 1 MiB')
        })
        response.on('end', () => resolve({ status, answer: this.#read(status, text.toString()) }))
      })
      // For the whole of it: the timeout of a socket starts anew with each byte that trickles in.
      const timer = setTimeout(fail, ms(within), 'timed out').unref()
      request.on('error', reject)
      request.on('close', () => { clearTimeout(timer); reject(new Error('the connection broke off')) })
      request.end(body)
    })
  }

  #read(status, text) {
    try {
      const answer = JSON.parse(this.#token && status >= 300 ? text.replaceAll(this.#token, '[token]') : text)
      if (isObject(answer)) return answer
    } catch { /* It says nothing. */ }
    return {}
  }

  #call(callback, argument) {
    try { callback(argument) } catch (error) { console.error('furt: a callback failed', error) }
  }
}
