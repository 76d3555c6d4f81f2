import { expect, test } from 'vitest';
import { byDay, wordsOf } from './days';

const tick = (due_at: string, plan_state: string | null, outcome = 'FIRED') => ({ due_at, plan_state, outcome });

test('a day is as bad as its ticks', () => {
  const days = byDay([
    tick('2026-03-28T00:00:00Z', 'SUCCEEDED'),
    tick('2026-03-28T12:00:00Z', 'FAILED'),
    tick('2026-03-27T00:00:00Z', 'SUCCEEDED'),
    tick('2026-03-26T00:00:00Z', null, 'SKIPPED'),
    tick('2026-03-25T00:00:00Z', 'FAILED'),
  ]);
  expect([...days.values()].map((day) => day.level)).toEqual([2, 0, 1, 3]);
  expect(wordsOf('2026-03-28', days.get('2026-03-28'))).toBe('2026-03-28: 2 ticks, 1 failed');
  expect(wordsOf('2026-03-27', days.get('2026-03-27'))).toBe('2026-03-27: 1 tick');
  expect(wordsOf('2026-01-01', undefined)).toBe('2026-01-01: no tick');
});
