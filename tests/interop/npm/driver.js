// Calls etcd-registry as it is told, a line of JSON each: {"registry": "127.0.0.1:8081/ns", "call": "join", "arguments": […]}.
// Answers each with a line: {"result": …} or {"error": {"message": …, "code": …, "cause": …}}. One registry a connection string.
'use strict'
const connect = require('etcd-registry')
const registries = new Map()
const answer = (told) => process.stdout.write(JSON.stringify(told) + '\n')

require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { registry, call, arguments: given } = JSON.parse(line)
  if (!registries.has(registry)) registries.set(registry, connect(registry))
  registries.get(registry)[call](...given, (error, result) => {
    if (!error) return answer({ result: result === undefined ? null : result })
    answer({ error: { message: error.message, code: error.code, cause: error.cause } })
  })
}).on('close', () => process.exit(0))
