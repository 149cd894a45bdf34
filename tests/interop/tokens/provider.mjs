// An oidc-provider whose access tokens are JWTs by RFC 9068, for the audience "furt", got by client_credentials: the client is "notes"
// with the secret "secret". Its first line is JSON with its `url`. It ends with its standard input.
// POST /rotate: from now on another key signs; the keys of `KEPT` rotations before stay in the set. GET /counts: how often its set of
// keys and its tokens were asked for, and how many rotations there were.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import { pathToFileURL } from 'node:url'

// What is imported is not looked for in NODE_PATH.
const { default: Provider } = await import(`${pathToFileURL(process.env.NODE_PATH)}/oidc-provider/lib/index.js`)

const KEPT = Number(process.argv[2] ?? 1)
const AUDIENCE = 'furt'
const SCOPE = 'notes:read notes:write'
// The first two are of one kind, so that their keys are told by their kid alone.
const KINDS = [
  ['RS256', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ['RS256', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ['ES256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['EdDSA', () => generateKeyPairSync('ed25519')]
]
const counts = { jwks: 0, tokens: 0, rotations: 0 }
const keys = []
let provider

function made (number) {
  const [alg, generate] = KINDS[number % KINDS.length]
  return { ...generate().privateKey.export({ format: 'jwk' }), kid: `key-${number}`, alg, use: 'sig' }
}

// A Provider has the keys that it was made with, so each rotation makes another one. It has no state: its tokens are not stored.
function issueWith (issuer, newest) {
  keys.unshift(newest)
  keys.length = Math.min(keys.length, KEPT + 1)
  const next = new Provider(issuer, {
    jwks: { keys },
    clients: [{
      client_id: 'notes',
      client_secret: 'secret',
      grant_types: ['client_credentials'],
      response_types: [],
      // Must be one that a key of the set has, also where no such token is issued.
      id_token_signed_response_alg: newest.alg,
      redirect_uris: []
    }],
    scopes: SCOPE.split(' '),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:furt',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: SCOPE,
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: newest.alg } }
        })
      }
    }
  })
  next.on('server_error', (_, error) => console.error(error))
  provider = next.callback()
}

const server = createServer((request, response) => {
  const answer = (told) => response.setHeader('content-type', 'application/json').end(JSON.stringify(told))
  const asked = `${request.method} ${request.url}`
  if (asked === 'GET /counts') return answer(counts)
  if (asked === 'POST /rotate') {
    counts.rotations += 1
    issueWith(url, made(counts.rotations))
    return answer({ kid: keys[0].kid, set: keys.map((key) => key.kid) })
  }
  if (asked === 'GET /jwks') counts.jwks += 1
  if (asked === 'POST /token') counts.tokens += 1
  return provider(request, response)
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${server.address().port}`
issueWith(url, made(0))
console.log(JSON.stringify({ url }))
process.stdin.resume().on('end', () => process.exit(0))
