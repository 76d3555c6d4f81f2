import createFetchClient, { type Middleware } from 'openapi-fetch';
import createClient from 'openapi-react-query';
import type { components, paths } from './schema';
import { csrfToken, sessionEnded, sessionWorks } from '../session/session';
import { serverAnswered, serverAway } from '../live/connection';

export type Schemas = components['schemas'];
export type Problem = Schemas['Problem'];

const WRITES = new Set(['POST', 'PUT', 'DELETE']);

/** No answer came: the server may be restarting, or the network is gone. Whether a write was done is not known. */
export class NoAnswer extends Error {
  constructor(readonly write: boolean) {
    super('no answer');
  }
}

/** Browsers have `randomUUID` on encrypted pages and on this machine only; the console also runs over plain HTTP. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Keys of writes that have no good answer yet. The same write again has the same key, so it is never done twice. */
const keys = new Map<string, string>();
const MAX_KEYS = 100;

async function keyOf(request: Request): Promise<string> {
  const write = `${request.url}\n${await request.clone().text()}`;
  const key = keys.get(write) ?? newKey();
  keys.delete(write);
  keys.set(write, key);
  if (keys.size > MAX_KEYS) keys.delete([...keys.keys()][0]!);
  return key;
}

function forget(key: string) {
  for (const [write, one] of keys) if (one === key) keys.delete(write);
}

/** What a proxy answers for the server is a page or nothing: it is made a problem, as the API's own answers are. */
function problemOf(response: Response): Response {
  const away = response.status >= 502 && response.status <= 504;
  const busy = response.status === 429;
  const body = {
    type: 'about:blank',
    title: away ? 'The server does not answer' : busy ? 'Too many requests' : 'The request failed',
    status: response.status,
    detail: `A proxy in front of the server answered ${response.status}.${away || busy ? ' Try again in a moment.' : ''}`,
  };
  return new Response(JSON.stringify(body), {
    status: response.status,
    headers: { 'Content-Type': 'application/problem+json' },
  });
}

const middleware: Middleware = {
  async onRequest({ request, schemaPath }) {
    if (!WRITES.has(request.method)) return;
    const csrf = csrfToken();
    if (csrf) request.headers.set('X-CSRF-Token', csrf);
    // the text of a key is in the first answer only: with the same key it would never be seen
    if (request.method === 'POST')
      request.headers.set('Idempotency-Key', schemaPath === '/api/v1/keys' ? newKey() : await keyOf(request));
  },
  onResponse({ request, response, schemaPath }) {
    const ours = response.ok || (response.headers.get('Content-Type') ?? '').includes('json');
    if (!ours && response.status >= 502) serverAway();
    else serverAnswered();
    if (response.ok || (ours && response.status < 500 && response.status !== 409))
      forget(request.headers.get('Idempotency-Key') ?? '');
    if (response.status === 401 && !schemaPath.startsWith('/api/v1/auth/')) sessionEnded();
    else if (response.ok && !schemaPath.startsWith('/api/v1/auth/')) sessionWorks();
    return ours ? undefined : problemOf(response);
  },
  onError({ error, request }) {
    if ((error as { name?: string } | null)?.name === 'AbortError') return; // the page went on before the answer came
    serverAway();
    return new NoAnswer(WRITES.has(request.method));
  },
};

export const http = createFetchClient<paths>({ baseUrl: '', credentials: 'same-origin' });
http.use(middleware);

/** Typed hooks over the API: `$api.useQuery('get', '/api/v1/plans', …)`. */
export const $api = createClient(http);

/** What to show a person for whatever a call threw. */
export function wordsOf(error: unknown): { title: string; detail: string; traceId?: string; fields: string[] } {
  if (error && typeof error === 'object' && 'title' in error) {
    const problem = error as Problem;
    const fields = (problem.errors ?? []).map((one) => `${one.field}: ${one.allowed}`);
    return { title: problem.title, detail: problem.detail, traceId: problem.trace_id, fields };
  }
  if (error instanceof NoAnswer)
    return {
      title: 'The server does not answer',
      detail: error.write
        ? 'It may be restarting. Whether this was done is not known: try again, nothing is done twice.'
        : 'It may be restarting. This page tries again by itself.',
      fields: [],
    };
  return { title: 'Something unexpected', detail: String(error).slice(0, 300), fields: [] };
}

export const isNotFound = (error: unknown) => (error as Problem | null)?.status === 404;
