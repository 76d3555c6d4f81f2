import { expect, test } from 'vitest';
import { commandOf, filtersOf, pathOf } from './filters';

test('the address becomes the filters of the API', () => {
  const now = Date.parse('2026-03-29T12:34:56Z');
  expect(filtersOf({ state: ['FAILED'], q: 'load', days: '1', label: 'team:lake' }, now)).toEqual({
    state: ['FAILED'],
    q: 'load',
    label: ['team:lake'],
    created_after: '2026-03-28T12:30:00.000Z',
  });
  expect(filtersOf({ ended: '7' }, now)).toEqual({ ended_after: '2026-03-22T12:30:00.000Z' });
  expect(filtersOf({ days: 'soon', ended: '-1' })).toEqual({});
});

test('what is copied can be typed as it stands', () => {
  expect(commandOf({ state: ['FAILED'], q: "it's" })).toBe(`signalbox plan list --state FAILED --q 'it'\\''s'`);
  const now = Date.parse('2026-03-29T12:34:56Z');
  expect(commandOf({ days: '1', parent: 'p1' }, now)).toBe(
    'signalbox plan list --parent p1 --created-after 2026-03-28T12:30:00.000Z',
  );
  expect(commandOf({ ended: '1' }, now)).toBe('signalbox plan list --ended-after 2026-03-28T12:30:00.000Z');
  expect(pathOf({ state: ['FAILED', 'REFUSED'] })).toBe('/api/v1/plans?state=FAILED&state=REFUSED');
});
