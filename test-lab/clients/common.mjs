// What the TypeScript drivers share: the lab's packages, a loopback callback, the walker, the report.
// It holds no client code: each driver uses its own SDK's OAuth and nothing of ours.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const lab = resolve(process.env.SALLYPORT_LAB ?? join(here, '../../.test/lab'));
/** Loads one of the lab's packages; they live outside this folder. */
export const load = createRequire(join(lab, 'package.json'));

/** ENDPOINT [ERA] by arguments, the rest by environment. `stdio:["command", …]` is a server without a gate. */
export function task() {
    const [target, era = 'legacy'] = process.argv.slice(2);
    if (!target) throw new Error('usage: ENDPOINT [legacy|modern|auto], SALLYPORT_ACCOUNT, SALLYPORT_CALLS');
    const calls = process.env.SALLYPORT_CALLS ? JSON.parse(readFileSync(process.env.SALLYPORT_CALLS, 'utf8')) : [];
    return {
        era,
        calls,
        url: target.startsWith('stdio:') ? undefined : new URL(target),
        command: target.startsWith('stdio:') ? JSON.parse(target.slice(6)) : undefined,
        account: process.env.SALLYPORT_ACCOUNT
    };
}

/** The client's side of a browser sign-in: a loopback listener, and the walker as the browser. */
export class Callback {
    static async open() {
        const callback = new Callback();
        callback.signIns = 0;
        callback.server = createServer((request, response) => {
            const answer = new URL(request.url, callback.url).searchParams;
            response.end('You may close this window.');
            callback.arrived?.(answer);
        });
        callback.server.listen(0, '127.0.0.1');
        await once(callback.server, 'listening');
        callback.url = `http://127.0.0.1:${callback.server.address().port}/callback`;
        return callback;
    }

    /** Called by the SDK's provider with the authorization URL. */
    visit(url) {
        this.signIns += 1;
        this.answer = new Promise((arrive, refuse) => {
            this.arrived = arrive;
            execFile('python3', [join(here, '../walk.py'), url.href], (error, _, text) => {
                if (error) refuse(new Error(text.trim() || error.message));
            });
        });
        this.answer.catch(() => {});
    }

    close() {
        this.server.close();
    }
}

/** An OAuthClientProvider of either SDK, in memory: one provider is one sign-in. */
export function provider(callback, name) {
    const kept = {};
    return {
        get redirectUrl() {
            return callback.url;
        },
        get clientMetadata() {
            return {
                client_name: name,
                redirect_uris: [callback.url],
                grant_types: ['authorization_code', 'refresh_token'],
                response_types: ['code'],
                token_endpoint_auth_method: 'none'
            };
        },
        state: () => (kept.state = crypto.randomUUID()),
        expectedState: () => kept.state,
        clientInformation: () => kept.client,
        saveClientInformation: client => void (kept.client = client),
        tokens: () => kept.tokens,
        saveTokens: tokens => void (kept.tokens = tokens),
        redirectToAuthorization: url => callback.visit(url),
        saveCodeVerifier: verifier => void (kept.verifier = verifier),
        codeVerifier: () => kept.verifier,
        discoveryState: () => kept.discovery,
        saveDiscoveryState: discovery => void (kept.discovery = discovery)
    };
}

/** Keys sorted, so that two lists compare as text. */
export function canonical(value) {
    if (Array.isArray(value)) return value.map(canonical);
    if (value && typeof value === 'object') {
        return Object.fromEntries(Object.keys(value).sort().map(key => [key, canonical(value[key])]));
    }
    return value;
}

/** A call's result as text: what a model would read. */
export function text(result) {
    const parts = (result.content ?? []).map(part => part.text ?? JSON.stringify(canonical(part)));
    if (result.structuredContent) parts.push(JSON.stringify(canonical(result.structuredContent)));
    return parts.join('\n');
}

/** Answers every form elicitation the same way. */
export const acceptance = { action: 'accept', content: { name: 'Ada', color: 'green', time: 'Thursday 14:00' } };

/** Runs the calls on a connected client of either SDK. */
export async function run(client, calls, resultSchema) {
    const tools = [];
    let cursor;
    do {
        const page = await client.listTools(cursor ? { cursor } : undefined);
        tools.push(...page.tools);
        cursor = page.nextCursor;
    } while (cursor);
    const outcomes = [];
    for (const { tool, arguments: args = {} } of calls) {
        let progress = 0;
        const options = { onprogress: () => (progress += 1), timeout: 60_000 };
        const params = { name: tool, arguments: args };
        try {
            const result = resultSchema ? await client.callTool(params, resultSchema, options) : await client.callTool(params, options);
            outcomes.push({ tool, ok: !result.isError, text: text(result), progress });
        } catch (error) {
            // The server's own error is an outcome; the SDK's time-out (-32001) and lost connection (-32000) are not.
            if (typeof error.code !== 'number' || error.code === -32001 || error.code === -32000) throw error;
            outcomes.push({ tool, ok: false, text: `error ${error.code}: ${error.message}`, progress });
        }
    }
    return { tools, outcomes };
}

export function report({ client, era, negotiated, transport, signIns, tools, outcomes }) {
    const definitions = Object.fromEntries(tools.map(tool => [tool.name, canonical(tool)]));
    const line = { client, era, negotiated, transport, signed_in: signIns > 0, sign_ins: signIns, tools: tools.map(t => t.name), calls: outcomes, definitions };
    process.stdout.write(JSON.stringify(line) + '\n');
}

/** Connects, and when told to sign in does so and connects again, once. */
export async function connect({ dial, callback, Unauthorized, finish }) {
    try {
        return await dial();
    } catch (error) {
        if (!(error instanceof Unauthorized) || !callback.answer) throw error;
        const answer = await callback.answer;
        if (answer.get('error')) throw new Error(`sign-in was refused: ${answer.get('error')}`);
        await finish(answer);
        return await dial();
    }
}
