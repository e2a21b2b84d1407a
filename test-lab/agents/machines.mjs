// The TypeScript SDK's own providers for machines: reads a task from $AGENT_TASK, connects, calls one tool, prints JSON.
import { createRequire } from 'node:module';
import path from 'node:path';

const lab = process.env.SALLYPORT_LAB;
const load = createRequire(path.join(lab, 'package.json'));
const { Client, StreamableHTTPClientTransport, ClientCredentialsProvider, PrivateKeyJwtProvider, CrossAppAccessProvider, DpopSession } =
    load('@modelcontextprotocol/client');

const task = JSON.parse(process.env.AGENT_TASK);
const common = { clientId: task.client, expectedIssuer: task.issuer, scope: task.scope };

function provider() {
    switch (task.kind) {
        case 'secret':
            return new ClientCredentialsProvider({ ...common, clientSecret: task.secret });
        case 'key':
            return new PrivateKeyJwtProvider({ ...common, privateKey: task.pem, algorithm: 'ES256' });
        case 'id-jag':
            return new CrossAppAccessProvider({
                ...common,
                clientSecret: task.secret,
                assertion: async context => {
                    const query = new URLSearchParams({
                        client_id: task.client,
                        audience: String(context.authorizationServerUrl),
                        resource: String(context.resourceUrl)
                    });
                    const answer = await fetch(`${task.provider}/id-jag?${query}`);
                    return (await answer.json()).assertion;
                }
            });
        default:
            throw new Error(`unknown kind ${task.kind}`);
    }
}

const authProvider = provider();
if (task.dpop) {
    const session = await DpopSession.create();
    authProvider.dpop = () => session;
}
const client = new Client({ name: 'lab-agent', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(task.endpoint), { authProvider }));
const result = await client.callTool({ name: task.tool, arguments: task.arguments ?? {} });
const tokens = await authProvider.tokens();
await client.close();
console.log(JSON.stringify({ ok: !result.isError, token: tokens.access_token }));
