import { expect, test } from 'vitest';
import { append, EMPTY_LOG, filtered, found, KEPT_LINES, levelOf, linkOf, unmark } from './logLines';

test('marks are taken out of the text, wherever a chunk ends', () => {
  expect(unmark('one\ntwo\n\u00008\nthree')).toEqual({
    marked: 'one\ntwo\n', text: 'three', offset: 8, ended: false, rest: '',
  }); // prettier-ignore
  expect(unmark('one\n\u00004')).toMatchObject({ marked: '', text: 'one\n', offset: undefined, rest: '\u00004' });
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
  expect(found(['ERROR a', 'INFO a'], 'a', [0])).toEqual([0]); // one cannot go to a line that is not shown
});

test('the link to a line names its attempt', () => {
  expect(String(new URLSearchParams(linkOf(2, '40')))).toBe('attempt=2&line=40');
});
