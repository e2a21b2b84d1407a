// TypeScript SDK 2.x: legacy by default, 2026-07-28 when pinned ("modern"), or by probe ("auto").
import { acceptance, Callback, connect, load, provider, report, run, task } from './common.mjs';

const { Client, StreamableHTTPClientTransport, UnauthorizedError } = load('@modelcontextprotocol/client');
const { StdioClientTransport } = load('@modelcontextprotocol/client/stdio');

const { url, command, era, calls, account } = task();
const mode = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } }[era];
if (!mode) throw new Error(`unknown era ${era}`);
const callback = await Callback.open();
const auth = account ? provider(callback, 'lab ts2') : undefined;
let transport;

async function dial() {
    const client = new Client({ name: 'lab-ts2', version: '1' }, { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } });
    client.setRequestHandler('elicitation/create', () => acceptance);
    transport = url
        ? new StreamableHTTPClientTransport(url, { authProvider: auth })
        : new StdioClientTransport({ command: command[0], args: command.slice(1), stderr: 'ignore' });
    await client.connect(transport);
    return client;
}

function finish(answer) {
    if (answer.get('state') !== auth.expectedState()) throw new Error('state came back changed');
    return transport.finishAuth(answer);
}

const client = await connect({ dial, callback, Unauthorized: UnauthorizedError, finish });
const { tools, outcomes } = await run(client, calls);
const negotiated = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
await client.close();
callback.close();
report({ client: 'ts2', era, negotiated, transport: url ? 'http' : 'stdio', signIns: callback.signIns, tools, outcomes });
