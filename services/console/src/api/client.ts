import createFetchClient, { type Middleware } from 'openapi-fetch';
import createClient from 'openapi-react-query';
import type { components, paths } from './schema';
import { csrfToken, sessionEnded, sessionWorks } from '../session/session';
import { serverAnswered, serverAway } from '../live/connection';

export type Schemas = components['schemas'];
export type Problem = Schemas['Problem'];

const WRITES = new Set(['POST', 'PUT', 'DELETE']);

const middleware: Middleware = {
  onRequest({ request }) {
    if (!WRITES.has(request.method)) return;
    const csrf = csrfToken();
    if (csrf) request.headers.set('X-CSRF-Token', csrf);
    if (request.method === 'POST') request.headers.set('Idempotency-Key', crypto.randomUUID());
  },
  onResponse({ response, schemaPath }) {
    serverAnswered();
    if (response.status === 401 && !schemaPath.startsWith('/api/v1/auth/')) sessionEnded();
    else if (response.ok && !schemaPath.startsWith('/api/v1/auth/')) sessionWorks();
  },
  onError() {
    serverAway();
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
  if (error instanceof TypeError)
    return {
      title: 'The server does not answer',
      detail: 'It may be restarting. This page tries again by itself.',
      fields: [],
    };
  return { title: 'Something unexpected', detail: String(error).slice(0, 300), fields: [] };
}

export const isNotFound = (error: unknown) => (error as Problem | null)?.status === 404;
