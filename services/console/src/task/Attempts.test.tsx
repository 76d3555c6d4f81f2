import { expect, test } from 'vitest';
import type { Schemas } from '../api/client';
import { startOf } from './Attempts';

const attempt = (number: number, ended_at: string | null) =>
  ({ attempt: number, started_at: '2026-03-29T00:00:00Z', ended_at }) as Schemas['Attempt'];

test('the attempt that runs has a duration that goes on; one that was lost has none', () => {
  const task = { attempt: 2, state: 'RUNNING' as const };
  expect(startOf(attempt(2, null), task)).toBe('2026-03-29T00:00:00Z');
  expect(startOf(attempt(1, null), task)).toBeNull();
  expect(startOf(attempt(1, '2026-03-29T00:01:00Z'), task)).toBe('2026-03-29T00:00:00Z');
  expect(startOf(attempt(2, null), { attempt: 2, state: 'FAILED' })).toBeNull();
});
