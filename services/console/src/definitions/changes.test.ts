import { expect, test } from 'vitest';
import { changesOf, conflictOf, mergedOf } from './changes';

const base = { name: 'Daily', rules: { limit: 2 }, steps: [{ id: 'load' }] };

test('a change names its place, what was there and what is', () => {
  expect(changesOf(base, { ...base, name: 'Nightly' })).toEqual([{ path: '/name', before: 'Daily', after: 'Nightly' }]);
  expect(changesOf(base, base)).toEqual([]);
});

test('what two people changed apart is merged', () => {
  const theirs = { ...base, name: 'Nightly' };
  const mine = { ...base, rules: { limit: 5 } };
  expect(conflictOf(base, theirs, mine).both.size).toBe(0);
  expect(mergedOf(base, theirs, mine)).toEqual({ ...base, name: 'Nightly', rules: { limit: 5 } });
});

test('where both changed the same place it is named, and mine wins', () => {
  const theirs = { ...base, rules: { limit: 9 } };
  const mine = { ...base, rules: { limit: 5 } };
  expect([...conflictOf(base, theirs, mine).both]).toEqual(['/rules/limit']);
  expect(mergedOf(base, theirs, mine)).toEqual(mine);
});

test('the same change by both is no conflict', () => {
  const same = { ...base, name: 'Nightly' };
  expect(conflictOf(base, same, structuredClone(same)).both.size).toBe(0);
});

test('a change of what the other removed does not fit', () => {
  const theirs = { name: 'Daily', steps: base.steps };
  expect(mergedOf(base, theirs, { ...base, rules: { limit: 5 } })).toBeNull();
});
