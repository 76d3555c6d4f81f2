import { expect, test } from 'vitest';
import { draftOf, rulesOf } from './rules';

const none = {
  limit: null,
  starts_per_minute: null,
  priority: 50,
  canary: null,
  brake: null,
  order: 'newest_first' as const,
};

test('rules read and written back are the same', () => {
  const rules = {
    ...none,
    limit: 4,
    starts_per_minute: 2.5,
    canary: { first: 5, max_failures: 1 },
    brake: { failure_ratio: 0.125, after_items: 30 },
  };
  expect(rulesOf(draftOf(rules), rules)).toEqual(rules);
  expect(rulesOf(draftOf(none), none)).toEqual(none);
});

test('an empty field is no rule', () => {
  expect(rulesOf({ ...draftOf(none), limit: '', canary: '', brake: 20 }, none)).toMatchObject({
    limit: null,
    canary: null,
    brake: { failure_ratio: 0.2, after_items: 20 },
  });
});
