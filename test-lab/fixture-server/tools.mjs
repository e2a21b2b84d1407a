// The tools that the conformance suite calls by name, and one or two that the gate's own tests use.
// Written once for both eras: a handler that needs the client returns an input-required result, and
// the SDK turns it into requests on the stream for a 2025 client.

import { acceptedContent, inputRequired, MissingRequiredClientCapabilityError } from '@modelcontextprotocol/server';
import { states } from './state.mjs';
import * as tasks from './tasks.mjs';

// A red pixel, and 44 bytes of WAV header around no sound.
export const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const SILENCE = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';

const NOTHING = { type: 'object', properties: {}, additionalProperties: false };
const text = (words) => ({ content: [{ type: 'text', text: words }] });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const strings = (...names) => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
  required: names,
});
const ask = (message, requestedSchema) => inputRequired.elicit({ mode: 'form', message, requestedSchema });
const sample = (words, maxTokens) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: words } }], maxTokens });

const answer = (ctx, key) => ctx.mcpReq.inputResponses?.[key];
const given = (ctx, key) => acceptedContent(ctx.mcpReq.inputResponses, key);

// A tool that puts one question and then says what came back.
const asks = (key, request, say) => async (args, ctx) => {
  const got = answer(ctx, key);
  return got === undefined ? inputRequired({ inputRequests: { [key]: request(args) } }) : text(say(got));
};
const elicited = (got) => `Elicitation completed: action=${got.action}, content=${JSON.stringify(got.content ?? {})}`;

const plain = {
  test_simple_text: ['Returns one line of text', async () => text('This is a simple text response for testing.')],
  test_image_content: [
    'Returns a picture',
    async () => ({ content: [{ type: 'image', data: PIXEL, mimeType: 'image/png' }] }),
  ],
  test_audio_content: [
    'Returns a sound',
    async () => ({ content: [{ type: 'audio', data: SILENCE, mimeType: 'audio/wav' }] }),
  ],
  test_embedded_resource: [
    'Returns a resource inside the result',
    async () => ({
      content: [
        {
          type: 'resource',
          resource: {
            uri: 'test://embedded-resource',
            mimeType: 'text/plain',
            text: 'This is an embedded resource content.',
          },
        },
      ],
    }),
  ],
  test_multiple_content_types: [
    'Returns text, a picture and a resource',
    async () => ({
      content: [
        { type: 'text', text: 'Multiple content types test:' },
        { type: 'image', data: PIXEL, mimeType: 'image/png' },
        {
          type: 'resource',
          resource: {
            uri: 'test://mixed-content-resource',
            mimeType: 'application/json',
            text: JSON.stringify({ test: 'data', value: 123 }),
          },
        },
      ],
    }),
  ],
  test_error_handling: [
    'Always fails',
    async () => ({ ...text('This tool intentionally returns an error for testing'), isError: true }),
  ],
};

const talking = {
  test_tool_with_logging: [
    'Logs three lines on the way',
    async (_, ctx) => {
      await ctx.mcpReq.log('info', 'Tool execution started');
      await pause(50);
      await ctx.mcpReq.log('info', 'Tool processing data');
      await pause(50);
      await ctx.mcpReq.log('info', 'Tool execution completed');
      return text('Logged three lines.');
    },
  ],
  test_logging_tool: [
    'Logs one line, if the request asked for logging',
    async (_, ctx) => {
      await ctx.mcpReq.log('info', 'One line');
      return text('Logged one line.');
    },
  ],
  test_tool_with_progress: [
    'Reports progress three times',
    async (_, ctx) => {
      const progressToken = ctx.mcpReq._meta?.progressToken;
      for (const progress of [0, 50, 100]) {
        if (progress > 0) await pause(50);
        if (progressToken === undefined) continue;
        await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      }
      return text('Progress reported.');
    },
  ],
  test_reconnection: [
    'Closes its stream before the result, so that the client must come back for it',
    async (_, ctx) => {
      ctx.http?.closeSSE?.();
      await pause(100);
      return text('Reconnection test completed.');
    },
  ],
};

const ENUMS = {
  type: 'object',
  properties: {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    titledSingle: {
      type: 'string',
      oneOf: [
        { const: 'value1', title: 'First Option' },
        { const: 'value2', title: 'Second Option' },
        { const: 'value3', title: 'Third Option' },
      ],
    },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
    titledMulti: {
      type: 'array',
      items: {
        anyOf: [
          { const: 'value1', title: 'First Choice' },
          { const: 'value2', title: 'Second Choice' },
          { const: 'value3', title: 'Third Choice' },
        ],
      },
    },
  },
  required: [],
};
const DEFAULTS = {
  type: 'object',
  properties: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
  required: [],
};
const USER = {
  type: 'object',
  properties: {
    username: { type: 'string', description: "User's response" },
    email: { type: 'string', description: "User's email address" },
  },
  required: ['username', 'email'],
};

const asking = {
  test_sampling: [
    "Asks the client's model",
    asks('sample', ({ prompt }) => sample(prompt, 100), (got) => `LLM response: ${got.content?.text ?? ''}`),
    strings('prompt'),
  ],
  test_elicitation: [
    'Asks the user for a name and an address',
    asks(
      'user',
      ({ message }) => ask(message, USER),
      (got) => `User response: action=${got.action}, content=${JSON.stringify(got.content ?? {})}`,
    ),
    strings('message'),
  ],
  test_elicitation_sep1034_defaults: [
    'Asks with a default for every primitive type',
    asks('form', () => ask('Please review and update the form', DEFAULTS), elicited),
  ],
  test_elicitation_sep1330_enums: [
    'Asks with every kind of enumeration',
    asks('form', () => ask('Please choose', ENUMS), elicited),
  ],
  test_streaming_elicitation: [
    'Asks the user in the middle of a stream',
    asks('confirm', () => ask('Go on?', strings('word')), elicited),
  ],
  test_list_roots: [
    'Asks the client for its roots',
    asks('roots', () => inputRequired.listRoots(), (got) => `Roots: ${got.roots.map((root) => root.uri).join(' ')}`),
  ],
};

const NAME = strings('name');
const askName = () => ask('What is your name?', NAME);

const rounds = {
  test_input_required_result_elicitation: [
    'Asks for a name, then greets',
    async (_, ctx) => {
      const name = given(ctx, 'user_name')?.name;
      return typeof name === 'string' ? text(`Hello, ${name}!`) : inputRequired({ inputRequests: { user_name: askName() } });
    },
  ],
  test_input_required_result_sampling: [
    "Asks the client's model for a capital",
    asks(
      'capital_question',
      () => sample('What is the capital of France?', 100),
      (got) => got.content?.text ?? 'no text',
    ),
  ],
  test_input_required_result_list_roots: [
    'Asks for the roots, then names them',
    asks('client_roots', () => inputRequired.listRoots(), (got) => got.roots.map((root) => root.uri).join(' ')),
  ],
  test_input_required_result_request_state: [
    'Asks for a confirmation and checks its own state',
    async (_, ctx) => {
      const state = ctx.mcpReq.requestState();
      if (state?.step === 'confirm' && given(ctx, 'confirm')) return text('Confirmed: state-ok');
      const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
      return inputRequired({
        inputRequests: { confirm: ask('Please confirm', schema) },
        requestState: await states.mint({ step: 'confirm' }),
      });
    },
  ],
  test_input_required_result_tampered_state: [
    'Refuses state that it did not write',
    async (_, ctx) => {
      if (ctx.mcpReq.requestState()?.step === 'sealed') return text('State is intact.');
      return inputRequired({
        inputRequests: { user_name: askName() },
        requestState: await states.mint({ step: 'sealed' }),
      });
    },
  ],
  test_input_required_result_multiple_inputs: [
    'Asks the user, the model and the roots at once',
    async (_, ctx) => {
      const keys = ['user_name', 'greeting', 'client_roots'];
      if (ctx.mcpReq.requestState()?.step === 'all' && keys.every((key) => answer(ctx, key))) return text('All three came back.');
      return inputRequired({
        inputRequests: {
          user_name: askName(),
          greeting: sample('Generate a greeting', 50),
          client_roots: inputRequired.listRoots(),
        },
        requestState: await states.mint({ step: 'all' }),
      });
    },
  ],
  test_input_required_result_multi_round: [
    'Asks twice, one question after the other',
    async (_, ctx) => {
      const state = ctx.mcpReq.requestState();
      const name = given(ctx, 'step1')?.name;
      const color = given(ctx, 'step2')?.color;
      if (state?.step === 2 && color) return text(`${state.name} likes ${color}.`);
      if (state?.step === 1 && name) {
        return inputRequired({
          inputRequests: { step2: ask('Step 2: What is your favorite color?', strings('color')) },
          requestState: await states.mint({ step: 2, name }),
        });
      }
      return inputRequired({
        inputRequests: { step1: ask('Step 1: What is your name?', NAME) },
        requestState: await states.mint({ step: 1 }),
      });
    },
  ],
  test_input_required_result_capabilities: [
    'Asks only what the client can answer',
    async (_, ctx) => {
      const can = declared(ctx);
      const inputRequests = {
        ...(can.elicitation && { user_name: askName() }),
        ...(can.sampling && { greeting: sample('Generate a greeting', 50) }),
        ...(can.roots && { client_roots: inputRequired.listRoots() }),
      };
      const done = ctx.mcpReq.inputResponses !== undefined || Object.keys(inputRequests).length === 0;
      return done ? text('Nothing left to ask.') : inputRequired({ inputRequests });
    },
  ],
  test_missing_capability: [
    'Needs sampling and says so',
    async (_, ctx) => {
      if (!declared(ctx).sampling) throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } });
      return text('The client can sample.');
    },
  ],
};

const declared = (ctx) =>
  ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? ctx.fixture.legacyCapabilities() ?? {};

const changing = {
  test_trigger_tool_change: [
    'Adds or removes the tool test_dynamic_tool',
    async (_, ctx) => (ctx.fixture.toggleTool(), text('The tool list has changed.')),
  ],
  test_trigger_prompt_change: [
    'Adds or removes the prompt test_dynamic_prompt',
    async (_, ctx) => (ctx.fixture.togglePrompt(), text('The prompt list has changed.')),
  ],
  test_update_resource: [
    'Says that test://watched-resource has changed',
    async (_, ctx) => (ctx.fixture.touchResource(), text('The watched resource has changed.')),
  ],
};

const schemas = {
  test_header_parameter: [
    'Takes a parameter that also travels as a header',
    async ({ region, note }) => text(`region=${region} note=${note ?? ''}`),
    {
      type: 'object',
      properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, note: { type: 'string' } },
      required: ['region'],
    },
  ],
  json_schema_2020_12_tool: [
    'Tool with JSON Schema 2020-12 features',
    async (args) => text(JSON.stringify(args)),
    {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      $defs: {
        address: {
          $anchor: 'addressDef',
          type: 'object',
          properties: { street: { type: 'string' }, city: { type: 'string' } },
        },
      },
      properties: {
        name: { type: 'string' },
        address: { $ref: '#/$defs/address' },
        contactMethod: { type: 'string', enum: ['phone', 'email'] },
        phone: { type: 'string' },
        email: { type: 'string' },
      },
      allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
      if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
      then: { required: ['phone'] },
      else: { required: ['email'] },
      additionalProperties: false,
    },
  ],
};

export const DYNAMIC_TOOL = { name: 'test_dynamic_tool', description: 'Comes and goes', inputSchema: NOTHING };

const all = { ...plain, ...talking, ...asking, ...rounds, ...changing, ...schemas, ...tasks.tools };

/** Definitions as `tools/list` gives them. */
export const definitions = Object.entries(all).map(([name, [description, , inputSchema = NOTHING]]) => ({
  name,
  description,
  inputSchema,
}));

/** The handler of a tool, or none. */
export const handler = (name) =>
  name === DYNAMIC_TOOL.name ? async () => text('Still here.') : Object.hasOwn(all, name) ? all[name][1] : undefined;
