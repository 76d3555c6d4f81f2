/** A log as lines: pure. The stream carries text, and marks of a zero byte, an offset and a line end between it. */
export type Log = { lines: string[]; dropped: number; partial: string; offset: number; ended: boolean };

export const KEPT_LINES = 200_000;
const LONGEST_LINE = 10_000;
export const EMPTY_LOG: Log = { lines: [], dropped: 0, partial: '', offset: 0, ended: false };

/**
 * Takes text apart from marks: `marked` is the text before the last mark with an offset, `text` what comes behind it.
 * What is not yet known to be either is given back as `rest`.
 */
export function unmark(chunk: string): {
  marked: string;
  text: string;
  offset?: number;
  ended: boolean;
  rest: string;
} {
  let marked = '';
  let text = '';
  let offset: number | undefined;
  let ended = false;
  let at = 0;
  for (;;) {
    const zero = chunk.indexOf('\0', at);
    if (zero < 0) return { marked, text: text + chunk.slice(at), offset, ended, rest: '' };
    text += chunk.slice(at, zero);
    const end = chunk.indexOf('\n', zero);
    const mark = end < 0 ? chunk.slice(zero + 1) : chunk.slice(zero + 1, end);
    if (mark === 'end') ended = true;
    else if (end < 0) return { marked, text, offset, ended, rest: chunk.slice(zero) };
    else if (/^\d+$/.test(mark)) {
      offset = Number(mark);
      marked += text;
      text = '';
    }
    if (end < 0) return { marked, text, offset, ended, rest: '' };
    at = end + 1;
  }
}

/** The log with more text. Only the newest lines are kept; how many were let go is counted. */
export function append(log: Log, text: string): Log {
  const parts = (log.partial + text).split('\n');
  const partial = parts.pop() ?? '';
  const lines = log.lines.concat(parts.map(shortened));
  const over = Math.max(0, lines.length - KEPT_LINES);
  return {
    ...log,
    lines: over ? lines.slice(over) : lines,
    dropped: log.dropped + over,
    partial: partial.slice(0, 100_000),
  };
}

const shortened = (line: string) =>
  line.length > LONGEST_LINE
    ? `${line.slice(0, LONGEST_LINE)} … ${(line.length - LONGEST_LINE).toLocaleString('en')} more characters are in the download`
    : line;

const LEVELS = [
  ['error', /\b(ERROR|FATAL|CRITICAL|SEVERE|Traceback|Exception)\b/],
  ['warning', /\bWARN(ING)?\b/],
  ['info', /\bINFO\b/],
  ['debug', /\b(DEBUG|TRACE)\b/],
] as const;
export type Level = (typeof LEVELS)[number][0];

export function levelOf(line: string): Level | undefined {
  const head = line.slice(0, 200);
  return LEVELS.find(([, words]) => words.test(head))?.[0];
}

/** The numbers of lines to show: those of a level or worse, or all. */
export function filtered(lines: string[], level: string | null): number[] | null {
  if (!level) return null;
  const rank = LEVELS.findIndex(([name]) => name === level);
  return lines.flatMap((line, at) => {
    const mine = LEVELS.findIndex(([name]) => name === levelOf(line));
    return mine >= 0 && mine <= rank ? [at] : [];
  });
}

/** The address of a line, with its attempt: without it the link shows another log when the task is tried again. */
export const linkOf = (attempt: number, line: string) => ({ attempt: String(attempt), line });

/** Where a text occurs, as indexes of lines; only among those that are shown, if not all are. */
export function found(lines: string[], text: string, shown: number[] | null = null): number[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  if (shown) return shown.filter((at) => lines[at]!.toLowerCase().includes(wanted));
  return lines.flatMap((line, at) => (line.toLowerCase().includes(wanted) ? [at] : []));
}
