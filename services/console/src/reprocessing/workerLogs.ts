/** Logs of workers as lines: pure. Each poll gives the newest lines of every worker; they are added without a gap. */
export type Worker = { index: number; name: string; lines: string[]; error: string | null };
export type Line = { worker: number; text: string; gap?: boolean };

export const KEPT_LINES = 20_000;
export const GAP = '… lines were written too fast to be shown; the whole log is on the page of the task …';

/** How many of the last lines of `kept` the newest lines begin with. */
function overlap(kept: string[], newest: string[]): number {
  for (let length = Math.min(kept.length, newest.length); length > 0; length--) {
    let at = 0;
    while (at < length && kept[kept.length - length + at] === newest[at]) at++;
    if (at === length) return length;
  }
  return 0;
}

/**
 * The lines of a worker with its newest lines, of which there are at most `tail`. Lines that are equal stay as many as
 * they are. Fewer than `tail` lines that are all new are those of the worker's next try.
 */
export function grown(kept: string[], newest: string[], tail: number): string[] {
  if (!newest.length) return kept;
  const known = overlap(kept, newest);
  if (known === newest.length) return kept;
  const between = kept.length && !known && newest.length >= tail ? [GAP] : [];
  return [...kept, ...between, ...newest.slice(known)].slice(-KEPT_LINES);
}

/** The workers after a poll, by index. */
export function polled(workers: Worker[], answer: Worker[], tail: number): Worker[] {
  const before = new Map(workers.map((worker) => [worker.index, worker]));
  return answer.map((worker) => ({
    ...worker,
    lines: grown(before.get(worker.index)?.lines ?? [], worker.lines, tail),
  }));
}

const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z/;

/** The lines of all workers in the order of their times; a line without one stays below the line before it. */
export function chronological(workers: Worker[]): Line[] {
  const lines = workers.flatMap((worker) => {
    let stamp = '';
    return worker.lines.map((text) => {
      stamp = STAMP.exec(text)?.[0].slice(0, -1) ?? stamp;
      return { worker: worker.index, text, gap: text === GAP, stamp };
    });
  });
  return lines.sort((one, other) => (one.stamp < other.stamp ? -1 : one.stamp > other.stamp ? 1 : 0));
}

/** The lines of one worker, as they were written. */
export const linesOf = (worker: Worker): Line[] =>
  worker.lines.map((text) => ({ worker: worker.index, text, gap: text === GAP }));
