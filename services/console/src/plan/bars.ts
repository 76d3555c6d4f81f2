import type { Schemas } from '../api/client';

export type Timed = Pick<
  Schemas['Task'],
  'id' | 'item_key' | 'step' | 'state' | 'queued_at' | 'submitted_at' | 'started_at' | 'ended_at'
>;
type Span = { from: number; to: number };
type Bar = { left: number; width: number; seconds: number };

export function spanOf(tasks: Timed[], end: number): Span {
  const from = Math.min(...tasks.map((task) => Date.parse(task.queued_at)), end);
  return { from, to: Math.max(end, from + 1000) };
}

/** Where a task's bars lie, in percent of the span: how long it waited, and how long it ran. */
export function barOf(task: Timed, span: Span): { waits: Bar; runs: Bar | null } {
  const scale = 100 / (span.to - span.from);
  const bar = (from: number, to: number): Bar => {
    const left = Math.max(0, Math.min(100, (from - span.from) * scale));
    const right = Math.max(left, Math.min(100, (to - span.from) * scale));
    return { left, width: right - left, seconds: Math.max(0, (to - from) / 1000) };
  };
  const end = task.ended_at ? Date.parse(task.ended_at) : span.to;
  const start = task.started_at ?? task.submitted_at;
  const began = start ? Date.parse(start) : null;
  return { waits: bar(Date.parse(task.queued_at), began ?? end), runs: began === null ? null : bar(began, end) };
}
