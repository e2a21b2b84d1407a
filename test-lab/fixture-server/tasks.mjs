// The tasks extension (io.modelcontextprotocol/tasks, SEP-2663) as its conformance scenarios use it:
// a few tools that take their time, and tasks/get, tasks/update, tasks/cancel. 2026-07-28 only.

import { randomUUID } from 'node:crypto';
import {
  acceptedContent,
  inputRequired,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
} from '@modelcontextprotocol/server';
import * as z from 'zod';

export const EXTENSION = 'io.modelcontextprotocol/tasks';
const LIFE_MS = 300_000;
const POLL_MS = 200;

const tasks = new Map();
const text = (words) => ({ content: [{ type: 'text', text: words }] });
const strings = (name) => ({ type: 'object', properties: { [name]: { type: 'string' } }, required: [name] });
const ask = (message, requestedSchema) => inputRequired.elicit({ mode: 'form', message, requestedSchema });
const CONFIRM = { type: 'object', properties: { name: { type: 'string' }, confirm: { type: 'boolean' } } };

const declared = (ctx) =>
  ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities']?.extensions?.[EXTENSION] !== undefined;

function demand(ctx) {
  if (declared(ctx)) return;
  throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [EXTENSION]: {} } } });
}

/** Waits, unless the task is cancelled first. */
const pause = (ms, signal) =>
  new Promise((done, stop) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), stop(new Error('cancelled'))), { once: true });
  });

class Task {
  id = randomUUID();
  createdAt = new Date().toISOString();
  lastUpdatedAt = this.createdAt;
  status = 'working';
  outcome = {};
  pending = {};
  #answers = {};
  #answered = () => {};
  #stop = new AbortController();

  constructor(work) {
    tasks.set(this.id, this);
    setTimeout(() => tasks.delete(this.id), LIFE_MS).unref();
    this.#run(work);
  }

  async #run(work) {
    try {
      const result = await work({ ask: (requests) => this.#ask(requests), signal: this.#stop.signal });
      if (this.status !== 'cancelled') this.#move('completed', { result: { resultType: 'complete', ...result } });
    } catch (error) {
      if (this.status === 'cancelled') return;
      this.#move('failed', { error: { code: error.code ?? ProtocolErrorCode.InternalError, message: error.message } });
    }
  }

  #move(status, outcome = {}) {
    this.status = status;
    this.outcome = outcome;
    this.lastUpdatedAt = new Date().toISOString();
  }

  #ask(requests) {
    this.pending = requests;
    this.#answers = {};
    this.#move('input_required');
    return new Promise((done, stop) => {
      this.#answered = done;
      this.#stop.signal.addEventListener('abort', () => stop(new Error('cancelled')), { once: true });
    });
  }

  update(responses) {
    for (const [key, response] of Object.entries(responses)) {
      if (!Object.hasOwn(this.pending, key)) continue;
      this.#answers[key] = response;
      delete this.pending[key];
    }
    if (this.status !== 'input_required' || Object.keys(this.pending).length > 0) return;
    this.#move('working');
    this.#answered(this.#answers);
  }

  cancel() {
    if (!['working', 'input_required'].includes(this.status)) return;
    this.pending = {};
    this.#move('cancelled');
    this.#stop.abort();
  }

  get envelope() {
    const { id: taskId, status, createdAt, lastUpdatedAt } = this;
    return { taskId, status, createdAt, lastUpdatedAt, ttlMs: LIFE_MS, pollIntervalMs: POLL_MS };
  }

  get detailed() {
    const inputRequests = this.status === 'input_required' ? { inputRequests: this.pending } : {};
    return { resultType: 'complete', ...this.envelope, ...inputRequests, ...this.outcome };
  }
}

const start = (work) => ({ resultType: 'task', ...new Task(work).envelope });

/** As a task for a client that knows tasks, at once for any other. */
const either = (work) => async (args, ctx) =>
  declared(ctx) ? start((task) => work(args, task)) : work(args, { signal: ctx.mcpReq.signal });

/** Only as a task. */
const taskOnly = (work) => async (args, ctx) => (demand(ctx), start((task) => work(args, task)));

/** Tools: description, handler, schema. */
export const tools = {
  greet: ['Greets at once', async ({ name }) => text(`Hello, ${name}!`), strings('name')],
  slow_compute: [
    'Takes as many seconds as it is told',
    either(async ({ seconds = 1 }, { signal }) => {
      await pause(seconds * 1000, signal);
      return text(`Computed for ${seconds} s.`);
    }),
    { type: 'object', properties: { seconds: { type: 'number' } } },
  ],
  failing_job: [
    'Runs for a second and reports an error',
    taskOnly(async (_, { signal }) => {
      await pause(1000, signal);
      return { ...text('The job went wrong.'), isError: true };
    }),
  ],
  protocol_error_job: [
    'Breaks the protocol server',
    taskOnly(async () => {
      throw new ProtocolError(ProtocolErrorCode.InternalError, 'The job broke the server.');
    }),
  ],
  confirm_delete: [
    'Asks before it deletes',
    taskOnly(async ({ filename }, task) => {
      const { confirm } = await task.ask({ confirm: ask(`Delete ${filename}?`, CONFIRM) });
      return text(confirm.action === 'accept' ? `Deleted ${filename}.` : `Kept ${filename}.`);
    }),
    strings('filename'),
  ],
  multi_input: [
    'Asks two things at once',
    taskOnly(async (_, task) => {
      const answers = await task.ask({ first: ask('First?', CONFIRM), second: ask('Second?', CONFIRM) });
      return text(`Answered: ${Object.keys(answers).sort().join(', ')}`);
    }),
  ],
  test_tool_with_task: [
    'Asks for a name, then greets in a task',
    async (_, ctx) => {
      demand(ctx);
      const name = acceptedContent(ctx.mcpReq.inputResponses, 'user_name')?.name;
      if (typeof name === 'string') return start(async () => text(`Hello, ${name}!`));
      return inputRequired({ inputRequests: { user_name: ask('What is your name?', strings('name')) } });
    },
  ],
};

function find(taskId) {
  const task = tasks.get(taskId);
  if (task) return task;
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no task ${taskId}`);
}

/** `tasks/get`, `tasks/update` and `tasks/cancel`. */
export function register(server) {
  const params = z.looseObject({ taskId: z.string() });
  const done = { resultType: 'complete' };
  const handle = (method, act) =>
    server.setRequestHandler(method, { params }, async ({ taskId }, ctx) => {
      demand(ctx);
      return act(find(taskId), ctx) ?? done;
    });
  handle('tasks/get', (task) => task.detailed);
  handle('tasks/cancel', (task) => task.cancel());
  // The SDK lifts `inputResponses` out of the parameters, as it does for a retried call.
  handle('tasks/update', (task, ctx) => task.update(ctx.mcpReq.inputResponses ?? {}));
}
