import type { Schemas } from '../api/client';
import { grouped } from '../ui/groups';

type Span = Schemas['Span'];
export type SpanRow = { span: Span; depth: number; left: number; width: number; millis: number };

/** Spans as a waterfall: children below their parent, by start; places in percent. */
export function waterfall(spans: Span[]): SpanRow[] {
  const start = (span: Span) => Number(span.start_ns);
  const end = (span: Span) => Math.max(Number(span.end_ns ?? span.start_ns), start(span));
  const from = Math.min(...spans.map(start));
  const total = Math.max(1, Math.max(...spans.map(end)) - from);
  const known = new Set(spans.map((span) => span.span_id));
  const children = grouped(
    [...spans].sort((a, b) => start(a) - start(b)),
    (span) => (span.parent_id && known.has(span.parent_id) ? span.parent_id : ''),
  );
  const rows: SpanRow[] = [];
  const seen = new Set<Span>();
  const walk = (parent: string, depth: number) => {
    for (const span of children.get(parent) ?? []) {
      if (seen.has(span)) continue;
      seen.add(span);
      const length = end(span) - start(span);
      rows.push({
        span,
        depth,
        left: (100 * (start(span) - from)) / total,
        width: (100 * length) / total,
        millis: length / 1e6,
      });
      if (span.span_id) walk(span.span_id, depth + 1);
    }
  };
  walk('', 0);
  return rows;
}
