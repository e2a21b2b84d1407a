// Does with an MCP endpoint, through the SDK, what a `client` scenario of the conformance suite wants
// done: ENDPOINT SCENARIO REVISION, and the suite's context in MCP_CONFORMANCE_CONTEXT.
import { Callback, connect, load, provider } from './common.mjs';

const { Client, StreamableHTTPClientTransport, UnauthorizedError } = load('@modelcontextprotocol/client');

const [endpoint, scenario, revision] = process.argv.slice(2);
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const mode = revision === '2026-07-28' ? { pin: revision } : 'legacy';
const callback = await Callback.open();
const auth = process.env.SALLYPORT_ACCOUNT ? provider(callback, 'lab conformance') : undefined;
let transport;

async function dial() {
    const client = new Client(
        { name: 'lab-conformance', version: '1' },
        { capabilities: { elicitation: { form: { applyDefaults: true } }, sampling: {}, roots: {} }, versionNegotiation: { mode } }
    );
    // Empty, so that the SDK fills in the defaults of the schema that reached it.
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: {} }));
    client.setRequestHandler('roots/list', () => ({ roots: [] }));
    transport = new StreamableHTTPClientTransport(new URL(endpoint), { authProvider: auth });
    await client.connect(transport);
    return client;
}

const client = await connect({ dial, callback, Unauthorized: UnauthorizedError, finish: answer => transport.finishAuth(answer) });
const { tools } = await client.listTools();
const call = (name, args = {}) => client.callTool({ name, arguments: args }, { timeout: 50_000 });

/** Every scenario lists the tools; most then call one. */
const steps = {
    'json-schema-ref-no-deref': async () => {},
    'json-schema-2020-12-preservation': async () => {
        const focal = tools.find(tool => tool.name === 'json_schema_2020_12_tool');
        await call('json_schema_echo', { schema: focal.inputSchema });
    },
    'http-standard-headers': async () => {
        for (const tool of tools) await call(tool.name);
        for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
        for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name });
    },
    'http-custom-headers': async () => {
        for (const { name, arguments: args } of context.toolCalls) await call(name, args);
    },
    'http-invalid-tool-headers': () => call('valid_tool', { region: 'us-west1' }),
    'sep-2322-client-request-state': async () => {
        for (const { name } of tools) await call(name);
    },
    tools_call: () => call(tools[0].name, { a: 2, b: 3 })
};
const first = async () => tools.length && call(tools[0].name);
await (steps[scenario] ?? first)();
await client.close();
callback.close();
