// The real npm oidc-provider 9 as one organisation's identity provider: code flow, PKCE, PAR, DPoP,
// refresh tokens, `acr_values`, back-channel logout. People and clients are this file's.
//
//   oidc_provider.mjs --state DIR [--port N] [--config FILE|-]
//
// Configuration: {"clients": [RFC 7591 metadata with client_id and client_secret], "users": {LOGIN: {
// "password", "sub", "email", "email_verified", "name", "groups", "otp", …claims}}, "anyone": true,
// "ttl": {"AccessToken": 60, …}, "refresh_tokens": "always"}. "anyone" lets any login name in, with no
// claim but `sub`. A refresh token comes with offline_access, which the library, as OpenID Connect says,
// grants only with prompt=consent; or always, as some vendors do.
// A person with "otp" who gives it gets acr "mfa" and amr ["pwd","otp"], else "pwd".
//
// Control port (POST JSON): client, user {login, …}, lock {login}, unlock {login}, delete {login},
// end-sessions {login} (posts logout tokens as the library does at RP-initiated logout), state {}.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { body, control, escape, listening, load, ready, settings } from './common.mjs';

const { config, port } = settings();
const { default: Provider, interactionPolicy } = await load('oidc-provider');
const anyone = config.anyone ?? true;
const always = config.refresh_tokens === 'always';
const users = new Map(Object.entries(config.users ?? {}));
const locked = new Set();
const deleted = new Set();
const seen = { refreshes: 0, refused_refreshes: 0, sign_ins: 0, back_channel: [] };

/** Everything that the provider keeps, where the control port can look through it. */
const stored = new Map();
class Adapter {
    constructor(model) {
        this.model = model;
        if (!stored.has(model)) stored.set(model, new Map());
        this.rows = stored.get(model);
    }
    async upsert(id, payload, seconds) {
        this.rows.set(id, { payload, until: seconds ? Date.now() + seconds * 1000 : Infinity });
    }
    async find(id) {
        const row = this.rows.get(id);
        return row && row.until > Date.now() ? row.payload : undefined;
    }
    async findByUid(uid) {
        return [...this.rows.values()].find(row => row.payload.uid === uid)?.payload;
    }
    async findByUserCode() {}
    async consume(id) {
        this.rows.get(id).payload.consumed = Math.floor(Date.now() / 1000);
    }
    async destroy(id) {
        this.rows.delete(id);
    }
    async revokeByGrantId(grant) {
        for (const [id, row] of this.rows) if (row.payload.grantId === grant) this.rows.delete(id);
    }
}

const loginOf = sub => [...users].find(([, user]) => user.sub === sub)?.[0] ?? sub;
const subOf = login => users.get(login)?.sub ?? login;
const known = login => (anyone || users.has(login)) && !deleted.has(login);

async function findAccount(_, sub) {
    const login = loginOf(sub);
    if (!known(login) || locked.has(login)) return undefined;
    const { password, otp, sub: _sub, ...claims } = users.get(login) ?? {};
    return { accountId: sub, claims: async () => ({ sub, ...claims }) };
}

/** A client that asks for an `acr` which the session lacks has its person asked again. */
function policy() {
    const { Check, base } = interactionPolicy;
    const prompts = base();
    prompts.get('login').checks.add(new Check('acr_values', 'the session lacks the acr asked for', ({ oidc }) => {
        const wanted = oidc.params.acr_values?.split(' ');
        const missing = wanted && !wanted.includes(oidc.session.acr) && !oidc.result?.login;
        return missing ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT;
    }, ({ oidc }) => ({ acr_values: oidc.params.acr_values })));
    return prompts;
}

/** The organisation's own client needs no consent page. */
async function grantFor(ctx) {
    const { client, session, params } = ctx.oidc;
    const held = session.grantIdFor(client.clientId);
    const grant = (held && (await ctx.oidc.provider.Grant.find(held))) || new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope ?? 'openid');
    await grant.save();
    return grant;
}

const key = (type, options, alg) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: randomBytes(6).toString('hex') });
const standard = { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] };
const server = createServer();
const issuer = await listening(server, port);
const provider = new Provider(issuer, {
    adapter: Adapter,
    clientDefaults: { ...standard, token_endpoint_auth_method: 'client_secret_basic' },
    claims: {
        openid: ['sub', 'acr', 'amr', 'auth_time'],
        sid: null,
        email: ['email', 'email_verified'],
        profile: ['name', 'preferred_username', 'given_name', 'family_name', 'locale'],
        groups: ['groups']
    },
    // Most vendors put the claims of a scope into the ID token; the specification would leave them to userinfo.
    conformIdTokenClaims: config.conform_id_token_claims ?? false,
    acrValues: ['pwd', 'mfa'],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    features: {
        devInteractions: { enabled: false },
        backchannelLogout: { enabled: true },
        claimsParameter: { enabled: true },
        resourceIndicators: { enabled: false },
        revocation: { enabled: true },
        introspection: { enabled: true }
    },
    // The library refuses to fetch from loopback, where everything of the lab lives.
    fetch: (url, { dispatcher: _dispatcher, ...options }) => globalThis.fetch(url, options),
    findAccount,
    interactions: { policy: policy(), url: (_, interaction) => `/interaction/${interaction.uid}` },
    jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256'), key('ed25519', {}, 'EdDSA')] },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    loadExistingGrant: grantFor,
    rotateRefreshToken: true,
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    issueRefreshToken: async (_, client, code) => client.grantTypeAllowed('refresh_token') && (always || code.scopes.has('offline_access')),
    ttl: { AccessToken: 300, IdToken: 300, Session: 86400, Grant: 86400, RefreshToken: 86400, Interaction: 600, ...config.ttl },
    renderError: async (ctx, out) => {
        ctx.type = 'html';
        ctx.body = `<!doctype html><h1>error</h1><pre>${escape(JSON.stringify(out))}</pre>`;
    }
});
provider.on('grant.success', ctx => (seen.refreshes += ctx.oidc.params.grant_type === 'refresh_token'));
provider.on('grant.error', ctx => (seen.refused_refreshes += ctx.oidc?.params?.grant_type === 'refresh_token'));
provider.on('server_error', (_, error) => process.stderr.write(`${error.stack}\n`));
const clients = new Adapter('Client');
const register = async client => void (await clients.upsert(client.client_id, { ...standard, ...client }));
for (const client of config.clients ?? []) await register(client);

async function interaction(request, response) {
    const details = await provider.interactionDetails(request, response);
    const page = (status, note) => {
        const hint = escape(details.params.login_hint);
        response.writeHead(status, { 'content-type': 'text/html' }).end(`<!doctype html><title>Sign in</title><p>${note}</p>
<form method="post"><input name="login" type="text" value="${hint}"><input name="password" type="password"><input name="otp" type="text" autocomplete="one-time-code"><button>Sign in</button></form>`);
    };
    if (details.prompt.name === 'consent') {
        // Only `prompt=consent` leads here; the library wants it before it grants offline_access.
        if (request.method === 'POST') return provider.interactionFinished(request, response, { consent: {} }, { mergeWithLastSubmission: true });
        return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Consent</title><form method="post"><button>Allow</button></form>');
    }
    if (request.method !== 'POST') return page(200, '');
    const form = new URLSearchParams(await body(request));
    const login = form.get('login');
    const user = users.get(login);
    if (!login || !known(login) || (user?.password && user.password !== form.get('password'))) return page(401, 'Wrong name or password.');
    if (locked.has(login)) return page(403, 'This account is locked.');
    const strong = user?.otp && user.otp === form.get('otp');
    seen.sign_ins += 1;
    await provider.interactionFinished(request, response, {
        login: { accountId: subOf(login), acr: strong ? 'mfa' : 'pwd', amr: strong ? ['pwd', 'otp', 'mfa'] : ['pwd'], remember: true }
    });
}

/** Ends every session of a person and posts a logout token to each client that asked for one. */
async function endSessions({ login }) {
    const told = [];
    for (const [id, { payload }] of [...(stored.get('Session') ?? [])]) {
        if (payload.accountId !== subOf(login)) continue;
        for (const [clientId, { sid, grantId }] of Object.entries(payload.authorizations ?? {})) {
            for (const model of ['AccessToken', 'RefreshToken', 'AuthorizationCode']) await new Adapter(model).revokeByGrantId(grantId);
            stored.get('Grant')?.delete(grantId);
            const client = await provider.Client.find(clientId);
            if (!client?.backchannelLogoutUri) continue;
            const start = performance.now();
            const error = await client.backchannelLogout(payload.accountId, sid).then(() => null, String);
            told.push({ client_id: clientId, sid, error, milliseconds: performance.now() - start });
        }
        stored.get('Session').delete(id);
    }
    seen.back_channel.push(...told);
    return { told };
}

const handle = provider.callback();
server.on('request', (request, response) => {
    if (!request.url.startsWith('/interaction/')) return handle(request, response);
    interaction(request, response).catch(error => {
        if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' }).end(String(error));
    });
});
const admin = await control({
    client: register,
    user: ({ login, ...user }) => void users.set(login, { ...users.get(login), ...user }),
    lock: ({ login }) => void locked.add(login),
    unlock: ({ login }) => void locked.delete(login),
    delete: ({ login }) => void deleted.add(login),
    'end-sessions': endSessions,
    state: () => ({ ...seen, sessions: [...(stored.get('Session')?.values() ?? [])].map(row => row.payload) })
});
ready({ kind: 'oidc', name: 'oidc-provider', issuer, discovery: `${issuer}/.well-known/openid-configuration`, control: admin,
    clients: (config.clients ?? []).map(({ client_id, client_secret }) => ({ client_id, client_secret })), users: Object.fromEntries(users) });
