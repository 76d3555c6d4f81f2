import { expect, test } from 'vitest';
import { valueOf } from './params';

test('what is typed becomes the value that the parameter wants, or words that say what is wrong', () => {
  expect(valueOf({ type: 'integer' }, '12')).toEqual({ value: 12 });
  expect(valueOf({ type: 'integer' }, '1.5').wrong).toBeTruthy();
  expect(valueOf({ type: 'number' }, ' ').wrong).toBeTruthy();
  expect(valueOf({ type: 'integer' }, '9007199254740993').wrong).toMatch(/too many digits/);
  expect(valueOf({ type: 'boolean' }, 'false')).toEqual({ value: false });
  expect(valueOf({ type: 'json' }, '{"a":1}')).toEqual({ value: { a: 1 } });
  expect(valueOf({ type: 'json' }, '{').wrong).toBeTruthy();
  expect(valueOf({ type: 'date' }, '29.3.2026').wrong).toBeTruthy();
  expect(valueOf({ required: true }, '').wrong).toBeTruthy();
  expect(valueOf({}, '')).toEqual({});
  expect(valueOf({ choices: [1, 2] }, '2')).toEqual({ value: 2 });
});
