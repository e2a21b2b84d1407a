// A stand-in for the gate, to test the lab itself: an authorization server with real sign-in and
// consent forms, and a bearer check in front of one HTTP upstream. It has none of the gate's safety
// and must never be used for anything but this.
//
//   stand-in.mjs --listen PORT --upstream NAME=URL … [--broken tools|result|events]
//
// `--broken` spoils what passes through, to see the lab notice.
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request as dial } from 'node:http';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
    options: { listen: { type: 'string', default: '0' }, upstream: { type: 'string', multiple: true, default: [] }, broken: { type: 'string' } }
});
const upstreams = new Map(options.upstream.map(pair => [pair.slice(0, pair.indexOf('=')), new URL(pair.slice(pair.indexOf('=') + 1))]));
const account = { username: 'ada', email: 'ada@example.test', password: 'lab-password', role: 'member' };
const clients = new Map();
const sessions = new Set();
const codes = new Map();
const tokens = new Map();
const fresh = () => randomBytes(24).toString('base64url');
let issuer;

const body = async request => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
};
const json = (response, status, value) => response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(value));
const page = (response, html) => response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html>${html}`);
const escape = value => String(value).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);

const metadata = () => ({
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    registration_endpoint: `${issuer}/register`,
    response_types_supported: ['code'],
    grant_types_supported: ['authorization_code', 'refresh_token'],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['none'],
    authorization_response_iss_parameter_supported: true,
    scopes_supported: ['lab']
});

async function authorize(url, request, response) {
    const client = clients.get(url.searchParams.get('client_id'));
    const redirect = url.searchParams.get('redirect_uri');
    if (!client || !client.redirect_uris.includes(redirect)) return json(response, 400, { error: 'invalid_request' });
    if (url.searchParams.get('code_challenge_method') !== 'S256') return json(response, 400, { error: 'invalid_request' });
    const signedIn = sessions.has(/sid=([^;]+)/.exec(request.headers.cookie ?? '')?.[1]);
    if (request.method === 'GET' && !signedIn) {
        return page(response, `<form method="post" action="${escape(url.pathname + url.search)}"><input name="username"><input name="password" type="password"><button>Sign in</button></form>`);
    }
    const form = new URLSearchParams(request.method === 'POST' ? await body(request) : '');
    if (form.has('password')) {
        if (form.get('username') !== account.username || form.get('password') !== account.password) return page(response, 'Wrong password');
        const sid = fresh();
        sessions.add(sid);
        return response.writeHead(303, { location: url.pathname + url.search, 'set-cookie': `sid=${sid}; HttpOnly; Path=/` }).end();
    }
    if (!form.has('decision')) {
        return page(response, `<form method="post" action="${escape(url.pathname + url.search)}"><p>${escape(client.client_name)} asks</p><button name="decision" value="deny">Deny</button><button name="decision" value="approve">Allow</button></form>`);
    }
    const back = new URL(redirect);
    back.searchParams.set('state', url.searchParams.get('state') ?? '');
    back.searchParams.set('iss', issuer);
    if (form.get('decision') === 'approve') {
        const code = fresh();
        codes.set(code, Object.fromEntries(url.searchParams));
        back.searchParams.set('code', code);
    } else {
        back.searchParams.set('error', 'access_denied');
    }
    response.writeHead(303, { location: back.href }).end();
}

async function token(request, response) {
    const form = new URLSearchParams(await body(request));
    let resource;
    if (form.get('grant_type') === 'authorization_code') {
        const asked = codes.get(form.get('code'));
        codes.delete(form.get('code'));
        const proof = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
        if (!asked || asked.code_challenge !== proof) return json(response, 400, { error: 'invalid_grant' });
        resource = asked.resource;
    } else if (tokens.has(form.get('refresh_token'))) {
        resource = tokens.get(form.get('refresh_token'));
        tokens.delete(form.get('refresh_token'));
    } else {
        return json(response, 400, { error: 'invalid_grant' });
    }
    const [access, refresh] = [fresh(), fresh()];
    tokens.set(access, resource).set(refresh, resource);
    json(response, 200, { access_token: access, token_type: 'Bearer', expires_in: 300, refresh_token: refresh, scope: 'lab' });
}

function forward(name, request, response) {
    const resource = `${issuer}/mcp/${name}`;
    const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (!bearer || tokens.get(bearer) !== resource) {
        const where = `${issuer}/.well-known/oauth-protected-resource/mcp/${name}`;
        return response.writeHead(401, { 'www-authenticate': `Bearer resource_metadata="${where}", scope="lab"` }).end();
    }
    const upstream = upstreams.get(name);
    const headers = { ...request.headers, host: upstream.host };
    delete headers.authorization;
    const onward = dial(upstream, { method: request.method, headers, agent: false }, answer => {
        if (!options.broken) {
            response.writeHead(answer.statusCode, answer.headers);
            response.flushHeaders();
            return answer.pipe(response);
        }
        const { 'content-length': _, ...rest } = answer.headers;
        response.writeHead(answer.statusCode, rest);
        answer.setEncoding('utf8').on('data', part => response.write(spoil(part))).on('end', () => response.end());
    });
    onward.on('error', () => (response.headersSent ? response.destroy() : json(response, 502, { error: 'upstream' })));
    response.on('close', () => onward.destroy());
    request.pipe(onward);
}

function spoil(part) {
    if (options.broken === 'events') return part.replaceAll('notifications/progress', 'notifications/lost');
    if (options.broken === 'tools') return part.replace('"description":"', '"description":"spoilt ');
    return part.replace('"type":"text","text":"', '"type":"text","text":"spoilt ');
}

const server = createServer(async (request, response) => {
    const url = new URL(request.url, issuer);
    if (url.pathname.startsWith('/mcp/') && upstreams.has(url.pathname.slice(5))) return forward(url.pathname.slice(5), request, response);
    if (url.pathname.startsWith('/.well-known/oauth-protected-resource')) {
        const path = url.pathname.slice('/.well-known/oauth-protected-resource'.length);
        if (!upstreams.has(path.slice(5))) return json(response, 404, {});
        return json(response, 200, { resource: issuer + path, authorization_servers: [issuer], scopes_supported: ['lab'] });
    }
    if (url.pathname === '/.well-known/oauth-authorization-server') return json(response, 200, metadata());
    if (url.pathname === '/authorize') return authorize(url, request, response);
    if (url.pathname === '/token') return token(request, response);
    if (url.pathname === '/register') {
        const client = { ...JSON.parse(await body(request)), client_id: fresh() };
        clients.set(client.client_id, client);
        return json(response, 201, client);
    }
    json(response, 404, {});
});

server.listen(Number(options.listen), '127.0.0.1', () => {
    issuer = `http://127.0.0.1:${server.address().port}`;
    const endpoints = [...upstreams.keys()].map(name => `${issuer}/mcp/${name}`);
    process.stdout.write(JSON.stringify({ mcp_endpoints: endpoints, issuer, accounts: [account] }) + '\n');
});
