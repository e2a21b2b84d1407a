// What the identity providers of the lab share: arguments, the first line on standard output, the
// control port through which a driver changes people and clients while the provider runs.
//
// The control port is no part of any identity provider: it listens on a port of its own, on loopback.
import { readFileSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const lab = process.env.SALLYPORT_LAB || join(here, '../../.test/lab');
/** Packages live in the lab's folder, not beside the scripts. */
export const require = createRequire(join(lab, 'package.json'));
export const load = name => import(pathToFileURL(require.resolve(name)).href);

/** `--state DIR --config FILE|- --port N`; the configuration is one JSON object. */
export function settings() {
    const { values } = parseArgs({ options: { state: { type: 'string' }, config: { type: 'string' }, port: { type: 'string', default: '0' } } });
    if (!values.state) {
        process.stderr.write('--state DIR is missing\n');
        process.exit(2);
    }
    mkdirSync(values.state, { recursive: true });
    const text = values.config ? readFileSync(values.config === '-' ? 0 : values.config, 'utf8') : '{}';
    return { state: values.state, port: Number(values.port), config: JSON.parse(text) };
}

export const listening = (server, port = 0) =>
    new Promise((good, bad) => server.once('error', bad).listen(port, '127.0.0.1', () => good(`http://127.0.0.1:${server.address().port}`)));

export async function body(request) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
}

export const escape = value => String(value ?? '').replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

/** `verbs`: path without its slash → async (posted JSON) → answer JSON. Resolves with the port's URL. */
export function control(verbs) {
    const server = createServer(async (request, response) => {
        const answer = (status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
        const verb = Object.hasOwn(verbs, request.url.slice(1)) && verbs[request.url.slice(1)];
        if (!verb) return answer(404, { error: `no such verb; there are ${Object.keys(verbs).join(', ')}` });
        try {
            answer(200, (await verb(JSON.parse((await body(request)) || '{}'))) ?? {});
        } catch (error) {
            answer(400, { error: String(error?.error_description ?? error) });
        }
    });
    return listening(server);
}

/** The one line that says that everything listens. */
export function ready(line) {
    for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
    process.stdout.write(`${JSON.stringify(line)}\n`);
}
