import { expect, test } from 'vitest';
import { chronological, GAP, grown, KEPT_LINES, polled, type Worker } from './workerLogs';

const worker = (index: number, lines: string[]): Worker => ({
  index,
  name: `reprocess-x-${index}`,
  lines,
  error: null,
});

test('polls that overlap give each line once, and equal lines as often as they were written', () => {
  expect(grown(['a', 'b', 'c'], ['b', 'c', 'd'], 3)).toEqual(['a', 'b', 'c', 'd']);
  expect(grown(['same', 'same'], ['same', 'same', 'same'], 9)).toEqual(['same', 'same', 'same']);
  const kept = ['a', 'b'];
  expect(grown(kept, ['a', 'b'], 9)).toBe(kept);
  expect(grown(kept, [], 9)).toBe(kept);
});

test('a gap between two polls is shown', () => {
  expect(grown(['a'], ['x', 'y'], 2)).toEqual(['a', GAP, 'x', 'y']);
  expect(grown([], ['x', 'y'], 2)).toEqual(['x', 'y']);
});

test('the lines of the next try follow those of the one before', () => {
  expect(grown(['a', 'killed'], ['begins'], 200)).toEqual(['a', 'killed', 'begins']);
});

test('the newest lines are kept', () => {
  const many = Array.from({ length: KEPT_LINES }, (_, at) => `line ${at}`);
  const lines = grown(many, ['line 19999', 'last'], 200);
  expect(lines).toHaveLength(KEPT_LINES);
  expect(lines.at(-1)).toBe('last');
  expect(lines[0]).toBe('line 1');
});

test('a worker that appears later is added', () => {
  const after = polled([worker(0, ['a'])], [worker(0, ['a', 'b']), worker(1, ['c'])], 200);
  expect(after.map((one) => one.lines)).toEqual([['a', 'b'], ['c']]);
});

test('lines of all workers are ordered by time, and a traceback stays below its line', () => {
  const zero = ['2026-03-28T01:00:00Z first', '2026-03-28T01:00:02.5Z ERROR failed', 'Traceback', '  at line 3'];
  const one = ['2026-03-28T01:00:00.5Z second', '2026-03-28T01:00:02.6Z last'];
  expect(chronological([worker(0, zero), worker(1, one)]).map((line) => [line.worker, line.text])).toEqual([
    [0, zero[0]],
    [1, one[0]],
    [0, zero[1]],
    [0, 'Traceback'],
    [0, '  at line 3'],
    [1, one[1]],
  ]);
});
