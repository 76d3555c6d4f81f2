import { http, HttpResponse } from 'msw';
import { setupServer } from 'msw/node';
import type { Schemas } from '../api/client';

export const PERMISSIONS = ['plan.start', 'plan.control', 'plan.apply', 'job.write', 'operation.read'];

export const me = (permissions: string[] = PERMISSIONS) =>
  http.get('*/api/v1/me', () =>
    HttpResponse.json({
      actor: 'user:ann', name: 'ann', kind: 'user', permissions, csrf_token: 'token',
      bindings: [{ role: 'operator', project: '*', engine: '*' }],
    }),
  ); // prettier-ignore

/** A problem as the API answers it. */
export const problem = (status: number, title: string, detail = '') =>
  HttpResponse.json({ type: '/problems/x', title, status, detail, trace_id: 'abc' } satisfies Partial<Schemas['Problem']>, {
    status,
  }); // prettier-ignore

/** The API, as far as every test needs it. */
export const server = setupServer(
  me(),
  http.get('*/api/v1/auth/methods', () => HttpResponse.json({ oidc: null })),
);
