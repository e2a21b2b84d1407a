// A loopback shim for suites that cannot send an Authorization header: adds `Bearer` from a file,
// read anew for each request, and forwards everything else as it came: method, path, headers and
// their order, body, status, streams event by event, and either side's hanging up.
//
// Host and Origin pass unchanged, so that rebinding probes reach the gate as they were sent; only
// where they name the shim itself do they become the gate's own, as a client without a shim would
// have sent them. Never part of the product.
//
//   shim.mjs --to URL --token-file FILE [--listen PORT]     prints {"url": …} when it listens
import { readFileSync } from 'node:fs';
import { createServer, request as dial } from 'node:http';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
    options: { to: { type: 'string' }, 'token-file': { type: 'string' }, listen: { type: 'string', default: '0' } }
});
const target = new URL(options.to);
let port;

/** The shim's own authority becomes the gate's; anything else stays. */
function renamed(name, value) {
    const own = new RegExp(`^(http://)?(127\\.0\\.0\\.1|localhost|\\[::1\\]):${port}$`, 'i');
    if ((name !== 'host' && name !== 'origin') || !own.test(value)) return value;
    return name === 'host' ? target.host : target.origin;
}

function headersOf(request) {
    const headers = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
        const name = request.rawHeaders[i];
        if (name.toLowerCase() === 'connection') continue;
        headers.push(name, renamed(name.toLowerCase(), request.rawHeaders[i + 1]));
    }
    if (!request.headers.authorization) {
        headers.push('Authorization', `Bearer ${readFileSync(options['token-file'], 'utf8').trim()}`);
    }
    return headers;
}

const server = createServer((request, response) => {
    request.socket.setNoDelay(true);
    const onward = dial({
        host: target.hostname,
        port: target.port || 80,
        method: request.method,
        path: request.url,
        headers: headersOf(request),
        setHost: false,
        // A connection kept from an earlier request may be closing: that would look like the gate's failure.
        agent: false
    });
    onward.on('socket', socket => socket.setNoDelay(true));
    onward.on('response', answer => {
        response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
        response.flushHeaders();
        answer.pipe(response);
        answer.on('error', () => response.destroy());
    });
    onward.on('error', error => {
        if (response.headersSent) return response.destroy();
        response.writeHead(502, { 'content-type': 'text/plain' }).end(`shim: ${error.message}\n`);
    });
    // A client that hangs up must be seen to hang up: it cancels.
    response.on('close', () => onward.destroy());
    request.pipe(onward);
});
server.requestTimeout = 0;
server.keepAliveTimeout = 60_000;
server.listen(Number(options.listen), '127.0.0.1', () => {
    port = server.address().port;
    process.stdout.write(JSON.stringify({ url: `http://127.0.0.1:${port}${target.pathname}` }) + '\n');
});
