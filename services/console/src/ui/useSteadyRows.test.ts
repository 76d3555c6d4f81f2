import { expect, test } from 'vitest';
import { steady } from './useSteadyRows';

const idOf = (row: { id: string }) => row.id;
const a = { id: 'a', state: 'RUNNING' };
const b = { id: 'b', state: 'RUNNING' };

test('under the pointer rows stay where they are, change in place, and new ones are counted', () => {
  const fresh = [
    { id: 'new', state: 'RUNNING' },
    { id: 'a', state: 'FAILED' },
  ];
  expect(steady([a, b], fresh, idOf, true)).toEqual({ rows: [{ id: 'a', state: 'FAILED' }, b], waiting: 1 });
});

test('without the pointer the fresh rows are shown', () => {
  const fresh = [b, a];
  expect(steady([a, b], fresh, idOf, false)).toEqual({ rows: fresh, waiting: 0 });
});
