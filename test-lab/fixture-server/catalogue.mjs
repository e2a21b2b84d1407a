// The resources, prompts and completions that the conformance suite reads by name.

import { acceptedContent, inputRequired, ResourceNotFoundError } from '@modelcontextprotocol/server';
import { PIXEL } from './tools.mjs';

export const WATCHED = 'test://watched-resource';

export const resources = [
  { uri: 'test://static-text', name: 'static-text', description: 'A line of text', mimeType: 'text/plain' },
  { uri: 'test://static-binary', name: 'static-binary', description: 'A picture', mimeType: 'image/png' },
  { uri: WATCHED, name: 'watched-resource', description: 'Changes on demand', mimeType: 'text/plain' },
];

export const templates = [
  {
    uriTemplate: 'test://template/{id}/data',
    name: 'template',
    description: 'Data by id',
    mimeType: 'application/json',
  },
];

/** `resources/read` */
export function read(uri) {
  const contents = (content) => ({ contents: [{ uri, ...content }] });
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id !== undefined) {
    const json = { id, templateTest: true, data: `Data for ID: ${id}` };
    return contents({ mimeType: 'application/json', text: JSON.stringify(json) });
  }
  switch (uri) {
    case 'test://static-text':
      return contents({ mimeType: 'text/plain', text: 'This is the content of the static text resource.' });
    case 'test://static-binary':
      return contents({ mimeType: 'image/png', blob: PIXEL });
    case WATCHED:
      return contents({ mimeType: 'text/plain', text: 'Watched resource content' });
    default:
      throw new ResourceNotFoundError(uri);
  }
}

const argument = (name, description) => ({ name, description, required: true });

export const prompts = [
  { name: 'test_simple_prompt', description: 'One line' },
  {
    name: 'test_prompt_with_arguments',
    description: 'Two arguments',
    arguments: [argument('arg1', 'First test argument'), argument('arg2', 'Second test argument')],
  },
  {
    name: 'test_prompt_with_embedded_resource',
    description: 'A resource inside a message',
    arguments: [argument('resourceUri', 'URI of the resource to embed')],
  },
  { name: 'test_prompt_with_image', description: 'A picture inside a message' },
  { name: 'test_input_required_result_prompt', description: 'Asks the user before it answers' },
];

export const DYNAMIC_PROMPT = { name: 'test_dynamic_prompt', description: 'Comes and goes' };

const user = (content) => ({ role: 'user', content });
const says = (text) => user({ type: 'text', text });

const answers = {
  test_simple_prompt: () => [says('This is a simple prompt for testing.')],
  test_dynamic_prompt: () => [says('Still here.')],
  test_prompt_with_arguments: ({ arg1, arg2 }) => [says(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  test_prompt_with_embedded_resource: ({ resourceUri }) => [
    user({
      type: 'resource',
      resource: { uri: resourceUri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' },
    }),
    says('Please process the embedded resource above.'),
  ],
  test_prompt_with_image: () => [
    user({ type: 'image', data: PIXEL, mimeType: 'image/png' }),
    says('Please analyze the image above.'),
  ],
};

/** `prompts/get`; undefined if there is no such prompt. */
export function prompt(name, args, ctx) {
  if (name === 'test_input_required_result_prompt') {
    const context = acceptedContent(ctx.mcpReq.inputResponses, 'user_context')?.context;
    if (typeof context === 'string') return { messages: [says(`Use this context: ${context}`)] };
    const requestedSchema = { type: 'object', properties: { context: { type: 'string' } }, required: ['context'] };
    const message = 'What context should the prompt use?';
    return inputRequired({ inputRequests: { user_context: inputRequired.elicit({ mode: 'form', message, requestedSchema }) } });
  }
  return Object.hasOwn(answers, name) ? { messages: answers[name](args) } : undefined;
}

const WORDS = ['paris', 'park', 'party', 'test', 'testing'];

/** `completion/complete` */
export function complete({ value }) {
  const values = WORDS.filter((word) => word.startsWith(value));
  return { completion: { values, total: values.length, hasMore: false } };
}
