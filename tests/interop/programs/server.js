require('http').createServer((_, response) => response.end('node\n')).listen(process.env.PORT)
