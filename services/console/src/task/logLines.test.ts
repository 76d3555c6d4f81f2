import { expect, test } from 'vitest';
import { append, EMPTY_LOG, filtered, found, KEPT_LINES, levelOf, unmark } from './logLines';

test('marks are taken out of the text, wherever a chunk ends', () => {
  expect(unmark('one\ntwo\n\u00008\nthree')).toEqual({ text: 'one\ntwo\nthree', offset: 8, ended: false, rest: '' });
  expect(unmark('one\n\u00004')).toEqual({ text: 'one\n', offset: undefined, ended: false, rest: '\u00004' });
  expect(unmark('last\n\u0000end')).toMatchObject({ text: 'last\n', ended: true });
});

test('a line that comes in two pieces is one line', () => {
  const log = append(append(EMPTY_LOG, 'a\nb'), 'c\nd');
  expect(log.lines).toEqual(['a', 'bc']);
  expect(log.partial).toBe('d');
});

test('of a million lines the newest are kept and the others counted', () => {
  const log = append(EMPTY_LOG, 'x\n'.repeat(1_000_000));
  expect(log.lines).toHaveLength(KEPT_LINES);
  expect(log.dropped).toBe(1_000_000 - KEPT_LINES);
});

test('levels and search', () => {
  const lines = ['INFO a', 'WARN b', 'java.lang.Exception: c', 'plain'];
  expect(lines.map(levelOf)).toEqual(['info', 'warning', 'error', undefined]);
  expect(filtered(lines, 'warning')).toEqual([1, 2]);
  expect(filtered(lines, null)).toBeNull();
  expect(found(lines, 'EXCEPTION')).toEqual([2]);
  expect(found(lines, ' ')).toEqual([]);
});
