import { expect, test } from 'vitest';
import { rowsAround, slotsOf } from './slots';

const range = (startIndex: number, endIndex: number, count: number) => ({ startIndex, endIndex, overscan: 3, count });

test('as many rows exist wherever one is, also at the ends', () => {
  for (const [start, end] of [
    [0, 9],
    [1, 11],
    [500, 510],
    [990, 999],
  ] as const)
    // prettier-ignore
    expect(rowsAround(range(start, end, 1000), 17)).toHaveLength(17);
});

test('the rows that are seen are among them', () => {
  for (let start = 0; start < 100; start++) {
    const end = Math.min(99, start + 10);
    const rows = rowsAround(range(start, end, 100), 17);
    expect(rows).toContain(start);
    expect(rows).toContain(end);
    expect(rows.every((row) => row >= 0 && row < 100)).toBe(true);
  }
});

test('each row has a slot of its own', () => {
  const rows = rowsAround(range(41, 51, 1000), 17);
  expect(new Set(rows.map((row) => row % rows.length)).size).toBe(rows.length);
});

test('a short list has its rows and no more', () => {
  expect(rowsAround(range(0, 2, 3), 17)).toEqual([0, 1, 2]);
  expect(rowsAround(range(0, 0, 0), 17)).toEqual([]);
});

test('a box of 560 pixels has 17 rows of 34 in it, or 18 while one scrolls', () => {
  expect(slotsOf(560, 34, 0)).toBe(18);
});
