import { expect, test } from 'vitest';
import { absolute, duration, instantOf, relative } from './instants';

test('durations have two units at most', () => {
  expect(duration(0.2)).toBe('0 s');
  expect(duration(59)).toBe('59 s');
  expect(duration(61)).toBe('1 min 1 s');
  expect(duration(3_600)).toBe('1 h');
  expect(duration(90_061)).toBe('1 d 1 h');
});

test('instants before and after now, and nonsense', () => {
  const now = Date.parse('2026-03-29T01:00:00Z');
  expect(relative('2026-03-29T00:58:00Z', now)).toBe('2 min ago');
  expect(relative('2026-03-29T03:00:00Z', now)).toBe('in 2 h');
  expect(relative('2026-03-29T01:00:00.2Z', now)).toBe('now');
  expect(relative('soon', now)).toBe('soon');
});

test('UTC is named', () => {
  expect(absolute('2026-03-29T01:02:03.456Z', true)).toBe('2026-03-29 01:02:03 UTC');
});

test('what is typed is meant in the zone in which times are shown', () => {
  expect(instantOf('2026-03-29T08:00', true)).toBe('2026-03-29T08:00:00.000Z');
  expect(instantOf('2026-03-29T08:00', false)).toBe(new Date(2026, 2, 29, 8).toISOString());
});
