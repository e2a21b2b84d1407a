// TypeScript client 2.x meets a tool that its token does not cover: the gate's 403 names the scope, the
// client asks for it, the person consents again, and the call goes through. (SDK 1.x refreshes its token
// instead of asking, and gives up.)
//
//   step_up.mjs ENDPOINT TOOL ARGUMENTS     SALLYPORT_ACCOUNT in the environment
import { Callback, load, provider } from './common.mjs';

const { Client, StreamableHTTPClientTransport, UnauthorizedError } = load('@modelcontextprotocol/client');

const [endpoint, tool, given] = process.argv.slice(2);
const callback = await Callback.open();
const auth = provider(callback, 'lab step-up');
let transport;

async function dial() {
    const client = new Client({ name: 'lab-step-up', version: '1' }, { capabilities: {}, versionNegotiation: { mode: { pin: '2026-07-28' } } });
    transport = new StreamableHTTPClientTransport(new URL(endpoint), { authProvider: auth });
    await client.connect(transport);
    return client;
}

/** Does `what`; when the SDK has sent the person to the browser, finishes the sign-in and does it once more. */
async function signingIn(what) {
    try {
        return await what();
    } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error;
        await transport.finishAuth(await callback.answer);
        return await what();
    }
}

const names = async client => (await client.listTools()).tools.map(tool => tool.name).sort();
const client = await signingIn(dial);
const before = await names(client);
const scopeBefore = auth.tokens().scope;
const result = await signingIn(() => client.callTool({ name: tool, arguments: JSON.parse(given) }));
const after = await names(client);
await client.close();
callback.close();
console.log(JSON.stringify({ before, after, scopeBefore, scopeAfter: auth.tokens().scope, signIns: callback.signIns, failed: result.isError === true }));
