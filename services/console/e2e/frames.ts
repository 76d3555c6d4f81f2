/** What frames cost the main thread of a page, from Chromium's own trace. */
import type { Browser, Page } from 'playwright-core';

const CATEGORIES = ['devtools.timeline', 'disabled-by-default-devtools.timeline', 'toplevel', 'blink.user_timing'];
const BEGIN = 'measured-frame';
const PARTS: Record<string, string> = {
  FunctionCall: 'script',
  EventDispatch: 'script',
  RunMicrotasks: 'script',
  FireAnimationFrame: 'script',
  TimerFire: 'script',
  UpdateLayoutTree: 'style',
  Layout: 'layout',
  PrePaint: 'prepaint',
  Paint: 'paint',
  Layerize: 'layerize',
  Commit: 'commit',
};

type Event = { name: string; ph: string; pid: number; tid: number; ts: number; dur?: number; tdur?: number };
export type Frames = {
  /** Processor time of script, style and layout in each frame, in milliseconds, sorted. */
  work: number[];
  /** Milliseconds between frames, sorted. */
  took: number[];
  /** Processor time a frame, in milliseconds, by what took it. */
  parts: Record<string, number>;
};

/** Scroll `.items` down by as many pixels a frame, then again with a trace, which makes frames longer. */
export async function scrolled(browser: Browser, page: Page, pixels: number, count: number): Promise<Frames> {
  const took = await scroll(page, pixels, count);
  await browser.startTracing(page, { categories: CATEGORIES });
  await scroll(page, pixels, count);
  const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: Event[] };
  return { took, ...costs(trace.traceEvents) };
}

/** Milliseconds between the frames, sorted. */
const scroll = (page: Page, pixels: number, count: number) =>
  page.evaluate(
    async ([by, frames, mark]) => {
      const box = document.querySelector('.items')!;
      const times: number[] = [];
      let before = performance.now();
      for (let at = 0; at < frames; at++) {
        box.scrollTop += by;
        performance.mark(mark);
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - before);
        before = performance.now();
      }
      return times.sort((a, b) => a - b);
    },
    [pixels, count, BEGIN] as const,
  );

/** Events nest: the time of one is its own, less that of those in it. */
function costs(events: Event[]): Pick<Frames, 'work' | 'parts'> {
  const marks = events.filter((one) => one.name === BEGIN).sort((a, b) => a.ts - b.ts);
  const { pid, tid } = marks[0]!;
  const begins = marks.map((one) => one.ts);
  const spans = events
    .filter((one) => one.ph === 'X' && one.pid === pid && one.tid === tid && one.name in PARTS && one.ts >= begins[0]!)
    .sort((a, b) => a.ts - b.ts);
  const work = begins.map(() => 0);
  const parts: Record<string, number> = {};
  const open: { end: number; part: string }[] = [];
  let frame = 0;
  for (const { name, ts, dur = 0, tdur = 0 } of spans) {
    while (frame + 1 < begins.length && begins[frame + 1]! <= ts) frame++;
    while (open.length && open.at(-1)!.end <= ts) open.pop();
    const part = PARTS[name]!;
    const within = open.at(-1)?.part;
    open.push({ end: ts + dur, part });
    if (within) add(within, -tdur);
    add(part, tdur);
  }
  function add(part: string, micros: number) {
    parts[part] = (parts[part] ?? 0) + micros / 1000 / begins.length;
    if (['script', 'style', 'layout'].includes(part)) work[frame]! += micros / 1000;
  }
  return { work: work.sort((a, b) => a - b), parts };
}

/** The value below which this part of them lies. */
export const quantile = (sorted: number[], part: number) => sorted[Math.floor(sorted.length * part)]!.toFixed(1);
