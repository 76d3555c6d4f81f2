import { expect, test } from 'vitest';
import { byHour } from './hours';

test('runs are counted in the hour they ended, and what still runs or is too old is not', () => {
  const now = Date.parse('2026-03-29T12:30:00Z');
  const plan = (state: string, ended_at: string | null) => ({ state, ended_at, created_at: '' });
  const hours = byHour(
    [
      plan('SUCCEEDED', '2026-03-29T12:01:00Z'),
      plan('FAILED', '2026-03-29T11:59:00Z'),
      plan('COMPLETED_WITH_ERRORS', '2026-03-29T11:00:00Z'),
      plan('RUNNING', null),
      plan('SUCCEEDED', '2026-03-27T12:01:00Z'),
    ],
    now,
    true,
  );
  expect(hours).toHaveLength(24);
  expect(hours[23]).toEqual({ hour: '12:00', succeeded: 1, failed: 0, other: 0 });
  expect(hours[22]).toEqual({ hour: '11:00', succeeded: 0, failed: 2, other: 0 });
  expect(hours.reduce((sum, hour) => sum + hour.succeeded, 0)).toBe(1);
});

test('in a zone that is half an hour off, an hour begins at half past', () => {
  const zone = process.env['TZ'];
  process.env['TZ'] = 'Asia/Kolkata';
  expect(byHour([], Date.parse('2026-03-29T12:30:00Z'), false)[23]!.hour).toBe('17:30');
  expect(byHour([], Date.parse('2026-03-29T12:30:00Z'), true)[23]!.hour).toBe('12:00');
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});
