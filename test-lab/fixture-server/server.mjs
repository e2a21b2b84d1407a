// The upstream that the official conformance suite expects, on 127.0.0.1:
//
//   node server.mjs --port P [--era legacy|modern|both]
//
// `legacy` speaks 2025-11-25 and before with sessions, `modern` speaks 2026-07-28 and nothing else,
// `both` (the default) tells them apart request by request. Port 0 takes a free one; the URL is
// printed once the server listens. There is no authorization: it belongs behind the gate.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import {
  localhostHostValidation,
  localhostOriginValidation,
  NodeStreamableHTTPServerTransport,
  toNodeHandler,
  toWebRequest,
} from '@modelcontextprotocol/node';
import { createMcpHandler, isLegacyRequest, McpServer, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import * as catalogue from './catalogue.mjs';
import { Events } from './events.mjs';
import { states } from './state.mjs';
import * as tasks from './tasks.mjs';
import * as tools from './tools.mjs';

const { values: options } = parseArgs({
  options: { port: { type: 'string', default: '0' }, era: { type: 'string', default: 'both' } },
});
if (!['legacy', 'modern', 'both'].includes(options.era) || !/^\d+$/.test(options.port)) {
  console.error('usage: node server.mjs --port P [--era legacy|modern|both]');
  process.exit(2);
}

const dynamic = { tool: false, prompt: false };
const sessions = new Map();

const invalid = (message) => new ProtocolError(ProtocolErrorCode.InvalidParams, message);

/** Tells every open 2025 session and every 2026 subscription. */
function announce(notification, modern) {
  modern(handler.notify);
  for (const { server } of sessions.values()) server.notification(notification).catch(() => {});
}

const fixture = (server) => ({
  legacyCapabilities: () => server.getClientCapabilities(),
  toggleTool() {
    dynamic.tool = !dynamic.tool;
    announce({ method: 'notifications/tools/list_changed' }, (notify) => notify.toolsChanged());
  },
  togglePrompt() {
    dynamic.prompt = !dynamic.prompt;
    announce({ method: 'notifications/prompts/list_changed' }, (notify) => notify.promptsChanged());
  },
  touchResource() {
    handler.notify.resourceUpdated(catalogue.WATCHED);
    const update = { method: 'notifications/resources/updated', params: { uri: catalogue.WATCHED } };
    for (const session of sessions.values()) {
      if (session.subscriptions.has(catalogue.WATCHED)) session.server.notification(update).catch(() => {});
    }
  },
});

/** Handlers are set on the protocol server below; this lets the SDK check `Mcp-Param-*` headers (SEP-2243). */
class Fixture extends McpServer {
  toolInputSchemaJson(name) {
    return tools.definitions.find((tool) => tool.name === name)?.inputSchema;
  }
}

/** One server over the shared catalogue; `session` holds what a 2025 client subscribed to. */
function makeServer(era, session = { subscriptions: new Set() }) {
  const mcp = new Fixture(
    { name: 'conformance-fixture', version: '1.0.0' },
    {
      capabilities: {
        completions: {},
        ...(era === 'modern' && { extensions: { [tasks.EXTENSION]: {} } }),
        logging: {},
        prompts: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        tools: { listChanged: true },
      },
      instructions: 'Fixed tools for the MCP conformance suite.',
      requestState: { verify: states.verify },
    },
  );
  const { server } = mcp;
  const context = fixture(server);

  server.setRequestHandler('tools/list', async () => ({
    tools: dynamic.tool ? [...tools.definitions, tools.DYNAMIC_TOOL] : tools.definitions,
  }));
  server.setRequestHandler('tools/call', async ({ params }, ctx) => {
    const call = tools.handler(params.name);
    if (call === undefined) throw invalid(`There is no tool ${params.name}`);
    return call(params.arguments ?? {}, Object.assign(Object.create(ctx), { fixture: context }));
  });
  server.setRequestHandler('resources/list', async () => ({ resources: catalogue.resources }));
  server.setRequestHandler('resources/templates/list', async () => ({ resourceTemplates: catalogue.templates }));
  server.setRequestHandler('resources/read', async ({ params }) => catalogue.read(params.uri));
  server.setRequestHandler('prompts/list', async () => ({
    prompts: dynamic.prompt ? [...catalogue.prompts, catalogue.DYNAMIC_PROMPT] : catalogue.prompts,
  }));
  server.setRequestHandler('prompts/get', async ({ params }, ctx) => {
    const answer = catalogue.prompt(params.name, params.arguments ?? {}, ctx);
    if (answer === undefined) throw invalid(`There is no prompt ${params.name}`);
    return answer;
  });
  server.setRequestHandler('completion/complete', async ({ params }) => catalogue.complete(params.argument));
  if (era === 'modern') tasks.register(server);
  if (era === 'legacy') {
    server.setRequestHandler('resources/subscribe', async ({ params }) => (session.subscriptions.add(params.uri), {}));
    server.setRequestHandler('resources/unsubscribe', async ({ params }) => (session.subscriptions.delete(params.uri), {}));
  }
  return mcp;
}

const handler = createMcpHandler(() => makeServer('modern'), { legacy: 'reject' });
const modern = toNodeHandler(handler);

/** 2025-11-25 and before: one server a session, found by `Mcp-Session-Id`. */
async function legacy(req, res) {
  const known = sessions.get(req.headers['mcp-session-id']);
  if (known) return known.transport.handleRequest(req, res, req.body);
  if (req.headers['mcp-session-id'] !== undefined) return refuse(res, 404, -32001, 'Session not found');
  const session = { subscriptions: new Set() };
  const mcp = makeServer('legacy', session);
  session.server = mcp.server;
  session.transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new Events(),
    retryInterval: 500,
    onsessioninitialized: (id) => void sessions.set(id, session),
    onsessionclosed: (id) => void sessions.delete(id),
  });
  await mcp.connect(session.transport);
  return session.transport.handleRequest(req, res, req.body);
}

function refuse(res, status, code, message) {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }));
}

async function bytes(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Whether a request belongs to a 2025 client. Reads the body of a POST, which stays on `req.body`. */
async function isLegacy(req) {
  if (options.era !== 'both') return options.era === 'legacy';
  return isLegacyRequest(await toWebRequest(req, req.body));
}

const hostIsLocal = localhostHostValidation();
const originIsLocal = localhostOriginValidation();

const listener = createServer(async (req, res) => {
  try {
    if (!hostIsLocal(req, res) || !originIsLocal(req, res)) return;
    if (new URL(req.url, 'http://127.0.0.1').pathname !== '/mcp') return void res.writeHead(404).end();
    if (req.method === 'POST') {
      try {
        req.body = JSON.parse(await bytes(req));
      } catch {
        return refuse(res, 400, -32700, 'Parse error');
      }
    }
    if (await isLegacy(req)) await legacy(req, res);
    else await modern(req, res, req.body);
  } catch (error) {
    console.error(error);
    if (!res.headersSent) refuse(res, 500, -32603, 'Internal error');
  }
});

listener.listen(Number(options.port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${listener.address().port}/mcp`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
