import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bodyOf, FIRST, wrongWith, type Draft } from './draft';

const draft: Draft = {
  path: '/events', files: ['a.json'], streams: ['s1'], connections: ['c1'], from: '2026-03-01', to: '2026-03-02', startFile: 'a.json',
  startLine: 0, limit: 0, batchSize: 500, retries: 0, eventsPerSecond: 0.5, distribution: 'balanced', engine: 'workers', dry: false, reason: 'lost',
}; // prettier-ignore

test('every field of the request can be filled in, and zero is not empty', () => {
  const document = JSON.parse(readFileSync(new URL('../../../api-gateway/openapi.json', import.meta.url), 'utf8'));
  const fields = Object.keys(document.components.schemas.ReprocessingStartBodyInput.properties);
  const sent = [bodyOf(draft), bodyOf({ ...draft, path: 's3://bucket/events' })].flatMap((body) => Object.keys(body));
  expect([...new Set([...sent, 'kind'])].sort()).toEqual(fields.sort());
  expect(bodyOf(draft)).toMatchObject({ start_line: 0, limit: 0, retry_attempts: 0, local_path: '/events' });
});

test('an empty field is not sent, and the form begins with a count', () => {
  expect(bodyOf({ ...FIRST, path: '/events' })).toEqual({
    local_path: '/events',
    distribution: 'modulo',
    dry_run: true,
    reason: '',
  });
});

test('what the API would refuse is named by its field', () => {
  expect(wrongWith(draft)).toEqual({});
  const wrong = wrongWith({ ...draft, path: 'events', to: '2026-02-01', startFile: '', connections: ['a,b'] });
  expect(Object.keys(wrong).sort()).toEqual(['connections', 'path', 'startFile', 'to']);
  expect(wrongWith({ ...draft, path: 's3://' }).path).toBeDefined();
});
