// Opens WebSockets on one connection of HTTP/2 and has messages echoed on each. Prints how many were.
// node websockets.js URL PATH SOCKETS MESSAGES, with NODE_EXTRA_CA_CERTS.
const http2 = require('node:http2');
const crypto = require('node:crypto');

const [url, path, sockets, messages] = process.argv.slice(2);
const SIZES = [5, 1000, 70000];

function fail(why) {
  console.error(why);
  process.exit(1);
}

setTimeout(() => fail('it takes too long'), 60000).unref();

// A frame as clients send it, and how the service echoes it (RFC 6455 section 5.2).
function frames(opcode, payload) {
  const extended = payload.length < 126 ? 0 : payload.length < 65536 ? 2 : 8;
  const head = Buffer.alloc(2 + extended);
  head[0] = 0x80 | opcode;
  head[1] = extended === 0 ? payload.length : extended === 2 ? 126 : 127;
  if (extended === 2) head.writeUInt16BE(payload.length, 2);
  if (extended === 8) head.writeBigUInt64BE(BigInt(payload.length), 2);
  const key = crypto.randomBytes(4);
  const masked = Buffer.from(payload.map((byte, index) => byte ^ key[index % 4]));
  const sent = Buffer.from(head);
  sent[1] |= 0x80;
  return { sent: Buffer.concat([sent, key, masked]), echoed: Buffer.concat([head, payload]) };
}

function socket(client) {
  return new Promise((resolve) => {
    const stream = client.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'https',
      ':path': path,
      'sec-websocket-version': '13',
    });
    let received = Buffer.alloc(0);
    let awaited = null;
    let count = 0;
    const next = () => {
      if (count === Number(messages)) {
        stream.end(frames(8, Buffer.from([0x03, 0xe8])).sent);
        return;
      }
      const message = frames(2, crypto.randomBytes(SIZES[count % SIZES.length]));
      awaited = message.echoed;
      stream.write(message.sent);
    };
    stream.on('response', (headers) => {
      if (headers[':status'] !== 200) fail(`status ${headers[':status']}`);
      next();
    });
    stream.on('data', (part) => {
      received = Buffer.concat([received, part]);
      if (awaited !== null && received.length >= awaited.length) {
        if (!received.subarray(0, awaited.length).equals(awaited)) fail('another echo');
        received = received.subarray(awaited.length);
        awaited = null;
        count += 1;
        next();
      }
    });
    stream.on('error', (error) => fail(`a stream failed: ${error}`));
    stream.on('end', () => resolve(count));
  });
}

const client = http2.connect(url);
client.on('error', (error) => fail(`the connection failed: ${error}`));
client.once('remoteSettings', async (settings) => {
  if (!settings.enableConnectProtocol) fail('WebSockets are not offered');
  const counts = await Promise.all(Array.from({ length: Number(sockets) }, () => socket(client)));
  console.log(counts.reduce((sum, count) => sum + count, 0));
  client.close();
});
