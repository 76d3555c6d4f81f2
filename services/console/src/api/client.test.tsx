import { http as answer, HttpResponse } from 'msw';
import { beforeEach, expect, test, vi } from 'vitest';
import { connection, change } from '../live/connection';
import { problem, server } from '../testing/server';
import { http, wordsOf } from './client';

const pause = (reason = '') =>
  http.POST('/api/v1/plans/{id}/pause', { params: { path: { id: 'p1' } }, body: { reason } });

/** Answers of `pause`, one after the other; the keys that came with the requests. */
function answers(...all: (() => Response)[]): string[] {
  const keys: string[] = [];
  server.use(
    answer.post('*/api/v1/plans/p1/pause', ({ request }) => {
      keys.push(request.headers.get('Idempotency-Key') ?? '');
      return all[keys.length - 1]!();
    }),
  );
  return keys;
}
const lost = () => HttpResponse.error();
const taken = () => HttpResponse.json({ operation_id: 'o' }, { status: 202 });

beforeEach(() => change({ server: 'there' }));

test('over plain HTTP browsers have no `randomUUID`: everything can be done all the same', async () => {
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) });
  const keys = answers(taken);
  expect((await pause()).response.status).toBe(202);
  expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  vi.unstubAllGlobals();
});

test('what had no answer is sent again with its key, so it is not done twice; what was answered gets a new key', async () => {
  const keys = answers(
    lost,
    () => problem(503, 'away'),
    () => problem(409, 'in progress'),
    taken,
    taken,
  );
  await expect(pause()).rejects.toThrow('no answer');
  for (let again = 0; again < 4; again++) await pause();
  expect(new Set(keys.slice(0, 4)).size).toBe(1);
  expect(keys[4]).not.toBe(keys[3]);
});

test('another request, and one after a refusal, has a key of its own', async () => {
  const keys = answers(lost, () => problem(422, 'wrong'), taken);
  await expect(pause('one')).rejects.toThrow();
  await pause('other');
  await pause('other');
  expect(new Set(keys).size).toBe(3);
});

test('a lost answer to a write does not say that the page tries again by itself', async () => {
  answers(lost);
  const error = await pause().catch((one: unknown) => one);
  expect(wordsOf(error).detail).toMatch(/Whether this was done is not known: try again, nothing is done twice/);
  expect(connection().server).toBe('away');
});

test.each(['<html><title>502 Bad Gateway</title></html>', ''])(
  'an answer of a proxy (%j) is a problem: never success, never markup',
  async (page) => {
    answers(() => new HttpResponse(page, { status: 502, headers: { 'Content-Length': String(page.length) } }));
    const { data, error } = await pause();
    expect(data).toBeUndefined();
    expect(wordsOf(error)).toMatchObject({
      title: 'The server does not answer',
      detail: expect.stringMatching(/answered 502/) as string,
    });
    expect(connection().server).toBe('away');
  },
);

test('a request that a page gives up says nothing about the server', async () => {
  server.use(answer.get('*/api/v1/secrets', () => new Promise(() => undefined)));
  const abort = new AbortController();
  const call = http.GET('/api/v1/secrets', { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  await expect(call).rejects.toThrow();
  expect(connection().server).toBe('there');
});

test('a fault of the page itself is not blamed on the server', () => {
  expect(wordsOf(new TypeError('x is undefined')).title).toBe('Something unexpected');
});
