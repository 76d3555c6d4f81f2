import type { Schemas } from '../api/client';
import { grouped } from '../ui/groups';

type Span = Schemas['Span'];
/** `loop`: the span is shown as the root of spans that are each other's parents. */
export type SpanRow = { span: Span; depth: number; left: number; width: number; millis: number; loop: boolean };

/** Spans as a waterfall: children below their parent, by start; places in percent. */
export function waterfall(spans: Span[]): SpanRow[] {
  const start = (span: Span) => Number(span.start_ns);
  const end = (span: Span) => Math.max(Number(span.end_ns ?? span.start_ns), start(span));
  const from = Math.min(...spans.map(start));
  const total = Math.max(1, Math.max(...spans.map(end)) - from);
  const sorted = [...spans].sort((a, b) => start(a) - start(b));
  const byId = new Map([...sorted].reverse().map((span) => [span.span_id ?? '', span]));
  const parentOf = (span: Span) => (span.parent_id ? byId.get(span.parent_id) : undefined);
  const children = grouped(sorted, (span) => parentOf(span)?.span_id ?? '');
  const rows: SpanRow[] = [];
  const seen = new Set<Span>();
  const walk = (span: Span, depth: number, loop = false) => {
    if (seen.has(span)) return;
    seen.add(span);
    const length = end(span) - start(span);
    rows.push({
      span,
      depth,
      left: (100 * (start(span) - from)) / total,
      width: (100 * length) / total,
      millis: length / 1e6,
      loop,
    });
    if (span.span_id) for (const child of children.get(span.span_id) ?? []) walk(child, depth + 1);
  };
  for (const root of children.get('') ?? []) walk(root, 0);
  // what no root leads to hangs below a loop of parents
  for (const span of sorted) if (!seen.has(span)) walk(onLoop(span, parentOf), 0, true);
  return rows;
}

/** The first span of the loop that the parents of a span lead into. */
function onLoop(span: Span, parentOf: (span: Span) => Span | undefined): Span {
  const passed = new Set<Span>();
  let at: Span | undefined = span;
  let last = span;
  while (at && !passed.has(at)) {
    passed.add(at);
    last = at;
    at = parentOf(at);
  }
  return at ?? last;
}
