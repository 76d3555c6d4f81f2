import { expect, test } from 'vitest';
import { barOf, spanOf, type Timed } from './bars';

const task = (part: Partial<Timed>): Timed => ({
  id: 't',
  item_key: 'k',
  step: null,
  state: 'RUNNING',
  queued_at: '2026-03-29T12:00:00Z',
  submitted_at: null,
  started_at: null,
  ended_at: null,
  ...part,
});

test('a task that waited a quarter and ran the rest', () => {
  const one = task({ started_at: '2026-03-29T12:00:15Z', ended_at: '2026-03-29T12:01:00Z' });
  const { waits, runs } = barOf(one, spanOf([one], Date.parse('2026-03-29T12:01:00Z')));
  expect(waits).toEqual({ left: 0, width: 25, seconds: 15 });
  expect(runs).toEqual({ left: 25, width: 75, seconds: 45 });
});

test('a task that never started has no bar, and clocks that disagree never leave the lane', () => {
  const waiting = task({});
  const odd = task({ started_at: '2026-03-29T11:00:00Z', ended_at: '2026-03-29T14:00:00Z' });
  const span = spanOf([waiting], Date.parse('2026-03-29T12:10:00Z'));
  expect(barOf(waiting, span).runs).toBeNull();
  expect(barOf(odd, span).runs).toMatchObject({ left: 0, width: 100 });
});
