import { expect, test } from 'vitest';
import { searchOf, strings, text } from './search';

const read = searchOf({ state: strings, q: text });

test('filters come from the address, and nonsense in it is no error', () => {
  expect(read({ state: 'FAILED', q: 7, other: 1 })).toEqual({ state: ['FAILED'], q: '7' });
  expect(read({ state: [{}, 'RUNNING'], q: { a: 1 } })).toEqual({ state: ['RUNNING'] });
  expect(read({ q: 'x'.repeat(9999) }).q).toHaveLength(500);
});
