// The real npm samlp 8 as one organisation's SAML 2.0 identity provider: requests by redirect and by
// POST, sign-in page, sessions, single logout, metadata. People and service providers are this file's.
//
//   samlp.mjs --state DIR [--port N] [--config FILE|-]
//
// Configuration: {"users": {LOGIN: {"password", "name_id", "email", "name", "groups", "otp",
// "attributes": {…}}}, "service_providers": [SP…], "set": {…}}
// SP: {"metadata": XML or URL} or {"entity_id", "acs", "slo", "certificate"}.
// "set", also a verb of the control port, changes what is sent from then on:
//   sign_assertion true, sign_response false, encrypt false, signature_algorithm "rsa-sha256",
//   lifetime 300, session_not_on_or_after null (seconds from now), want_signed_requests false,
//   name_id_format "persistent" | "email" | "transient", attribute_names {"email": "mail", …},
//   omit [] (attributes to leave out), skew 0 (the clock runs ahead by so many seconds),
//   audience, recipient, destination, in_response_to null (another value than the right one)
// The library knows no SessionNotOnOrAfter: it is put in before the library signs.
//
// Control port (POST JSON): sp SP, user {login, …}, lock {login}, unlock {login}, delete {login}, set {…},
// certificate {step: "announce" | "use" | "retire"} (roll-over), state {}.
// GET /start?sp=ENTITY_ID&RelayState=… is the start that the identity provider initiates.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { control, escape, listening, ready, require, settings } from './common.mjs';

process.noDeprecation = true;
const { config, port, state } = settings();
const express = require('express');
const samlp = require('samlp');
const SessionParticipants = require('samlp/lib/sessionParticipants');
const inSaml = createRequire(require.resolve('saml'));
const { Saml20 } = inSaml('saml');
const { DOMParser } = inSaml('@xmldom/xmldom');
const moment = inSaml('moment');
const REDIRECT = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect';
const FORMATS = {
    persistent: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
    transient: 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient',
    email: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress'
};

const how = {
    sign_assertion: true, sign_response: false, encrypt: false, signature_algorithm: 'rsa-sha256', lifetime: 300,
    session_not_on_or_after: null, want_signed_requests: false, name_id_format: 'persistent', attribute_names: {}, omit: [], skew: 0,
    audience: null, recipient: null, destination: null, in_response_to: null, ...config.set
};
moment.now = () => Date.now() + how.skew * 1000;
const users = new Map(Object.entries(config.users ?? {}));
const providers = new Map();
const locked = new Set();
const sessions = new Map();
const pending = new Map();
const seen = { sign_ins: 0, responses: 0, logouts: 0 };
const fresh = () => randomBytes(16).toString('hex');

function keyPair(name) {
    const [key, cert] = [join(state, `${name}.key`), join(state, `${name}.crt`)];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650', '-subj', '/CN=lab-samlp', '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { key: readFileSync(key), cert: readFileSync(cert) };
}
/** The first signs; all are in the metadata. */
const certificates = [keyPair('first')];

const pem = base64 => `-----BEGIN CERTIFICATE-----\n${base64.replace(/\s/g, '').match(/.{1,64}/g).join('\n')}\n-----END CERTIFICATE-----\n`;

async function register({ metadata, ...given }) {
    if (!metadata) return void providers.set(given.entity_id, { ...given, certificate: given.certificate && pem(given.certificate) });
    const text = metadata.startsWith('<') ? metadata : await (await fetch(metadata)).text();
    const root = new DOMParser().parseFromString(text).documentElement;
    const all = name => Array.from(root.getElementsByTagNameNS('*', name));
    const keyFor = use => all('KeyDescriptor').find(key => (key.getAttribute('use') || use) === use)?.getElementsByTagNameNS('*', 'X509Certificate')[0]?.textContent;
    const slo = all('SingleLogoutService').find(one => one.getAttribute('Binding') === REDIRECT);
    providers.set(root.getAttribute('entityID'), {
        entity_id: root.getAttribute('entityID'),
        acs: all('AssertionConsumerService').map(one => one.getAttribute('Location')),
        slo: slo?.getAttribute('ResponseLocation') || slo?.getAttribute('Location'),
        slo_request: slo?.getAttribute('Location'),
        certificate: keyFor('signing') && pem(keyFor('signing')),
        encryption: keyFor('encryption') && pem(keyFor('encryption'))
    });
}

/** The assertion as the library builds it, with SessionNotOnOrAfter, then signed and encrypted by the library. */
function withSessionEnd(assertion, signed) {
    return (options, callback) => assertion.call(Saml20, { ...options, encryptionCert: undefined }, (error, xml) => {
        if (error) return callback(error);
        try {
            const document = new DOMParser().parseFromString(xml);
            const end = new Date(moment.now() + how.session_not_on_or_after * 1000).toISOString();
            document.getElementsByTagNameNS('*', 'AuthnStatement')[0].setAttribute('SessionNotOnOrAfter', end);
            const sign = inSaml('./xml/sign');
            const done = (signed ? sign.fromSignXmlOptions({ xpathToNodeBeforeSignature: "//*[local-name(.)='Issuer']", signatureIdAttribute: 'ID', ...options }) : sign.unsigned)(document);
            if (!options.encryptionCert) return callback(null, done);
            inSaml('./xml/encrypt').fromEncryptXmlOptions(options)(done, (failed, encrypted) =>
                callback(failed, `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">${encrypted}</saml:EncryptedAssertion>`));
        } catch (failed) {
            callback(failed);
        }
    });
}
for (const name of ['create', 'createUnsignedAssertion']) {
    const plain = Saml20[name];
    const ended = withSessionEnd(Saml20.createUnsignedAssertion, name === 'create');
    Saml20[name] = (options, callback) => (how.session_not_on_or_after === null ? plain.call(Saml20, options, callback) : ended(options, callback));
}

/** What the service provider is told about a person, in the shape that samlp asks for. */
const profile = user => ({
    getClaims() {
        const all = { email: user.email, name: user.name, groups: user.groups, ...user.attributes };
        const named = Object.entries(all).filter(([name, value]) => value !== undefined && !how.omit.includes(name));
        return Object.fromEntries(named.map(([name, value]) => [how.attribute_names[name] ?? name, value]));
    },
    getNameIdentifier: () => ({ nameIdentifier: user.session_name_id, nameIdentifierFormat: FORMATS[how.name_id_format] })
});

function nameIdOf(login, user) {
    if (how.name_id_format === 'email') return user.email;
    if (how.name_id_format === 'transient') return `_${fresh()}`;
    return user.name_id ?? createHash('sha256').update(login).digest('hex').slice(0, 32);
}

const app = express();
app.use(express.urlencoded({ extended: false, limit: '1mb' }));
const server = createServer(app);
const base = await listening(server, port);
const issuer = `${base}/metadata`;
const keys = () => ({ issuer, cert: certificates[0].cert, key: certificates[0].key, signatureAlgorithm: how.signature_algorithm, digestAlgorithm: how.signature_algorithm === 'rsa-sha1' ? 'sha1' : 'sha256' });

app.get('/metadata', (request, response, next) => {
    const send = response.send.bind(response);
    response.send = text => {
        const descriptor = text.match(/<KeyDescriptor[\s\S]*?<\/KeyDescriptor>/)[0];
        const inside = pair => pair.cert.toString().replace(/-----[^-]+-----|\s/g, '');
        const all = certificates.map(pair => descriptor.replace(/(<X509Certificate>)[^<]*/, `$1${inside(pair)}`)).join('\n');
        const asks = how.want_signed_requests ? '<IDPSSODescriptor WantAuthnRequestsSigned="true" ' : '<IDPSSODescriptor ';
        return send(text.replace(descriptor, all).replace('<IDPSSODescriptor ', asks));
    };
    samlp.metadata({ issuer, cert: certificates[0].cert.toString(), redirectEndpointPath: '/sso', postEndpointPath: '/sso', logoutEndpointPaths: { redirect: '/slo', post: '/slo' } })(request, response, next);
});

const sessionOf = request => sessions.get(/(?:^|; )samlp=([^;]+)/.exec(request.headers.cookie ?? '')?.[1]);
const page = (response, status, html) => response.status(status).set('Content-Type', 'text/html').send(`<!doctype html>${html}`);

function loginPage(response, id, status = 200, note = '') {
    page(response, status, `<title>Sign in</title><p>${note}</p><form method="post" action="/login"><input type="hidden" name="pending" value="${escape(id)}">
<input type="text" name="login"><input type="password" name="password"><input type="text" name="otp" autocomplete="one-time-code"><button>Sign in</button></form>`);
}

/** Answers a request once the person is known; asks her first where she is not, or must be again. */
function sso(request, response, next) {
    readRequest(request, (error, asked) => {
        if (error) return page(response, 400, `<h1>request refused</h1><p>${escape(error.message)}`);
        const session = sessionOf(request);
        const again = asked?.forceAuthn === 'true' && session?.answered !== asked.id;
        const stronger = asked?.requestedAuthnContext?.authnContextClassRef;
        const short = stronger?.includes('MultiFactor') && session?.context !== stronger && session?.answered !== asked.id;
        if (!session || again || short || locked.has(session.login) || !users.has(session.login)) {
            const id = fresh();
            pending.set(id, { method: request.method, query: { ...request.query }, body: request.body, asked });
            return loginPage(response, id);
        }
        answer(session, asked, request, response, next);
    });
}

/** The certificate to verify with: whatever is signed by redirect; everything where `want_signed_requests` says so. */
function signingCert(request, entity) {
    const certificate = providers.get(entity)?.certificate;
    return certificate && (how.want_signed_requests || request.query.Signature) ? certificate : undefined;
}

/** Reads the request, verified where it must be. The library finds no credentials for this kind of message by itself. */
function readRequest(request, done) {
    samlp.parseRequest(request, {}, (error, asked) => {
        const certificate = !error && signingCert(request, asked?.issuer);
        return certificate ? samlp.parseRequest(request, { signingCert: certificate, relayState: request.query.RelayState }, done) : done(error, asked);
    });
}

function answer(session, asked, request, response, next) {
    const entity = asked?.issuer ?? request.query.sp;
    const provider = providers.get(entity);
    if (!provider) return page(response, 403, `<h1>unknown service provider ${escape(entity)}</h1>`);
    const known = [].concat(provider.acs);
    const acs = asked?.assertionConsumerServiceURL ?? known[0];
    if (!known.includes(acs)) return page(response, 403, `<h1>${escape(acs)} is not registered for ${escape(entity)}</h1>`);
    const user = { ...users.get(session.login), session_name_id: session.names[entity] ??= nameIdOf(session.login, users.get(session.login)) };
    const index = (session.indices[entity] ??= `_${fresh()}`);
    remember(session, provider, entity, user, index);
    seen.responses += 1;
    samlp.auth({
        ...keys(), profileMapper: profile, getUserFromRequest: () => user, getPostURL: (_, __, ___, done) => done(null, acs),
        audience: how.audience ?? entity, recipient: how.recipient ?? acs, destination: how.destination ?? acs,
        ...(how.in_response_to === null ? {} : { inResponseTo: how.in_response_to }),
        signingCert: signingCert(request, asked?.issuer), signAssertion: how.sign_assertion, signResponse: how.sign_response, lifetimeInSeconds: how.lifetime,
        sessionIndex: index, authnContextClassRef: session.context, typedAttributes: true,
        ...(how.encrypt && { encryptionCert: provider.encryption, encryptionPublicKey: publicKey(provider.encryption) })
    })(request, response, next);
}

function publicKey(certificate) {
    if (!certificate) throw new Error('"encrypt" is set and the service provider published no key for encryption');
    return execFileSync('openssl', ['x509', '-pubkey', '-noout'], { input: certificate }).toString();
}

function remember(session, provider, entity, user, index) {
    if (!provider.slo || session.participants.get(entity, [index], user.session_name_id, (_, found) => found)) return;
    session.participants._participants.push({
        serviceProviderId: entity, sessionIndex: index, nameId: user.session_name_id, nameIdFormat: FORMATS[how.name_id_format],
        serviceProviderLogoutURL: provider.slo, binding: REDIRECT, cert: provider.certificate
    });
}

app.post('/login', (request, response, next) => {
    const { login, password, otp, pending: id } = request.body;
    const waiting = pending.get(id);
    const user = users.get(login);
    if (!waiting) return page(response, 400, '<h1>start again</h1>');
    if (!user || (user.password && user.password !== password)) return loginPage(response, id, 401, 'Wrong name or password.');
    if (locked.has(login)) return page(response, 403, '<h1>This account is locked.</h1>');
    pending.delete(id);
    const cookie = fresh();
    const strong = user.otp && user.otp === otp;
    const context = strong ? 'https://refeds.org/profile/mfa' : 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport';
    sessions.set(cookie, { login, context, answered: waiting.asked?.id, indices: {}, names: {}, participants: new SessionParticipants() });
    seen.sign_ins += 1;
    response.set('Set-Cookie', `samlp=${cookie}; HttpOnly; Path=/; SameSite=Lax`);
    // The library reads the request that the person came with.
    request.method = waiting.method;
    Object.defineProperty(request, 'query', { value: waiting.query, configurable: true });
    request.body = waiting.body;
    answer(sessions.get(cookie), waiting.asked, request, response, next);
});
app.get('/sso', sso);
app.post('/sso', sso);
app.get('/start', sso);

/** What a running logout remembers between its redirects. */
const logouts = new Map();
const store = {
    save: (_, value, done) => {
        const id = fresh();
        logouts.set(id, value);
        done(null, id);
    },
    load: (_, id, options, done = options) => {
        const found = logouts.get(id);
        if (options?.destroy) logouts.delete(id);
        done(null, found);
    },
    update: (_, id, value, done) => done(null, logouts.set(id, value))
};
function slo(request, response, next) {
    const session = sessionOf(request);
    request.body ??= {};
    seen.logouts += 1;
    samlp.logout({
        ...keys(), deflate: true, protocolBinding: REDIRECT, store, sessionParticipants: session?.participants ?? new SessionParticipants(),
        clearIdPSession: done => {
            for (const [id, one] of sessions) if (one === session) sessions.delete(id);
            done();
        }
    })(request, response, next);
}
app.get('/slo', slo);
app.post('/slo', slo);
app.use((error, _, response, __) => {
    process.stderr.write(`${error.stack}\n`);
    page(response, 500, `<h1>error</h1><pre>${escape(error.message)}</pre>`);
});

for (const provider of config.service_providers ?? []) await register(provider);
const admin = await control({
    sp: register,
    user: ({ login, ...user }) => void users.set(login, { ...users.get(login), ...user }),
    lock: ({ login }) => void locked.add(login),
    unlock: ({ login }) => void locked.delete(login),
    delete: ({ login }) => void users.delete(login),
    set: asked => {
        const unknown = Object.keys(asked).filter(name => !Object.hasOwn(how, name));
        if (unknown.length) throw new Error(`no such setting: ${unknown.join(', ')}`);
        return Object.assign(how, asked);
    },
    certificate: ({ step }) => {
        if (step === 'announce') certificates.push(keyPair(fresh()));
        else if (step === 'use') certificates.reverse();
        else if (step === 'retire') certificates.splice(1);
        else throw new Error('step is announce, use or retire');
        return { in_metadata: certificates.length };
    },
    state: () => ({ ...seen, sessions: [...sessions.values()].map(({ login, indices }) => ({ login, indices })) })
});
ready({ kind: 'saml', name: 'samlp', entity_id: issuer, metadata: issuer, sso: `${base}/sso`, slo: `${base}/slo`, start: `${base}/start`, control: admin, users: Object.fromEntries(users) });
