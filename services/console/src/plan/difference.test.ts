import { expect, test } from 'vitest';
import { fieldsChanged, rowsOf } from './difference';

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

test('of what was expected only the fields that are otherwise now are named', () => {
  const was = { ...side('a'), expected: { state: 'KILLED', workflow: 'w1', name: 'load' }, deletes: ['/out/1'] };
  const is = { ...side('a'), expected: { state: 'KILLED', workflow: 'w2', name: 'load' }, deletes: [] };
  expect(fieldsChanged(was, is)).toEqual([
    { name: 'workflow', was: 'w1', is: 'w2' },
    { name: 'deletes', was: ['/out/1'], is: [] },
  ]);
  expect(fieldsChanged(undefined, is)).toEqual([]);
});
