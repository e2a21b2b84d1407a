// TypeScript SDK 1.x: the handshake of 2025-11-25 and before, which is all it speaks.
import { acceptance, Callback, connect, load, provider, report, run, task } from './common.mjs';

const { Client } = load('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = load('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { StdioClientTransport } = load('@modelcontextprotocol/sdk/client/stdio.js');
const { UnauthorizedError } = load('@modelcontextprotocol/sdk/client/auth.js');
const { CallToolResultSchema, ElicitRequestSchema } = load('@modelcontextprotocol/sdk/types.js');

const { url, command, era, calls, account } = task();
if (era !== 'legacy') throw new Error(`SDK 1.x is legacy only, not ${era}`);
const callback = await Callback.open();
const auth = account ? provider(callback, 'lab ts1') : undefined;
let transport;

async function dial() {
    const client = new Client({ name: 'lab-ts1', version: '1' }, { capabilities: { elicitation: {} } });
    client.setRequestHandler(ElicitRequestSchema, () => acceptance);
    transport = url
        ? new StreamableHTTPClientTransport(url, { authProvider: auth })
        : new StdioClientTransport({ command: command[0], args: command.slice(1), stderr: 'ignore' });
    await client.connect(transport);
    return client;
}

function finish(answer) {
    if (answer.get('state') !== auth.expectedState()) throw new Error('state came back changed');
    return transport.finishAuth(answer.get('code'));
}

const client = await connect({ dial, callback, Unauthorized: UnauthorizedError, finish });
const { tools, outcomes } = await run(client, calls, CallToolResultSchema);
const negotiated = transport.protocolVersion ?? 'stdio';
await transport.terminateSession?.();
await client.close();
callback.close();
report({ client: 'ts1', era, negotiated, transport: url ? 'http' : 'stdio', signIns: callback.signIns, tools, outcomes });
