// The seal on `requestState`: the client carries it and must not be able to write it.

import { randomBytes } from 'node:crypto';
import { createRequestStateCodec } from '@modelcontextprotocol/server';

export const states = createRequestStateCodec({ key: randomBytes(32) });
