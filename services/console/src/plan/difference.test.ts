import { expect, test } from 'vitest';
import { rowsOf } from './difference';

const side = (key: string, decision = 'run') => ({ key, decision, reason: '', expected: null });

test('each item that changed, came or went is a row', () => {
  const found = rowsOf({
    counts: { changed: 1, added: 1, removed: 1 },
    changed: [{ key: 'a', was: side('a'), is: side('a', 'skip') }],
    added: [side('b')],
    removed: [side('c')],
  });
  expect(found?.rows.map((row) => `${row.key} ${row.change}`)).toEqual(['a changed', 'b added', 'c removed']);
  expect(found?.rows[0]?.is?.decision).toBe('skip');
});

test('a shape of a newer server is no row: it is shown as it came', () => {
  expect(rowsOf({ counts: {}, moved: [] })).toBeNull();
  expect(rowsOf(null)).toBeNull();
});
