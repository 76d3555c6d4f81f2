import { expect, test } from 'vitest';
import { waterfall } from './spans';

const span = (span_id: string, parent_id: string | null, start: number, end: number) => ({
  span_id,
  parent_id,
  start_ns: start * 1e6,
  end_ns: end * 1e6,
  name: span_id,
  service: 's',
  status: 'ok',
  attributes: {},
});

test('children stand below their parent, and spans without one at the left', () => {
  const rows = waterfall([span('c', 'a', 5, 10), span('a', null, 0, 10), span('x', 'lost', 1, 2)]);
  expect(rows.map((row) => [row.span.span_id, row.depth])).toEqual([
    ['a', 0],
    ['c', 1],
    ['x', 0],
  ]);
  expect(rows[1]).toMatchObject({ left: 50, width: 50, millis: 5 });
});

test('spans that are each other’s parents are shown once each, below a marked root', () => {
  const rows = waterfall([
    span('child', 'b', 0, 1),
    span('a', 'b', 1, 2),
    span('b', 'a', 2, 3),
    span('root', null, 3, 4),
  ]);
  expect(rows.map((row) => [row.span.span_id, row.depth, row.loop])).toEqual([
    ['root', 0, false],
    ['b', 0, true],
    ['child', 1, false],
    ['a', 1, false],
  ]);
});
