import { $api, isNotFound } from '../api/client';
import { Answer, Empty } from '../ui/Answer';
import { Id } from '../ui/Copy';
import { waterfall } from './spans';

const SHOWN_SPANS = 400;

/** The trace from the request to the engine. */
export function Waterfall({ traceId }: { traceId: string | null }) {
  const query = $api.useQuery(
    'get',
    '/api/v1/traces/{trace_id}',
    { params: { path: { trace_id: traceId ?? '' } } },
    { enabled: Boolean(traceId), retry: false, refetchInterval: false },
  );
  if (!traceId || isNotFound(query.error))
    return <Empty title="No trace">No trace store is configured here, or it does not keep this one any more.</Empty>;
  return (
    <Answer query={query}>
      {({ spans }) => (
        <>
          <p>
            <Id value={traceId} length={32} /> · {spans.length} spans
          </p>
          {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a part that scrolls has to be reached */}
          <div className="bars" role="region" aria-label="Trace" tabIndex={0}>
            {waterfall(spans)
              .slice(0, SHOWN_SPANS)
              .map(({ span, depth, left, width, millis, loop }, at) => (
                <div className="bar-row" style={{ position: 'relative' }} key={span.span_id ?? at}>
                  <span
                    className="bar-name wide"
                    style={{ paddingLeft: 10 + depth * 12 }}
                    title={`${span.service}: ${span.name}`}
                  >
                    <span className="dim">{span.service}</span> {span.name}
                    {loop && <span className="dim"> (its parents form a loop)</span>}
                  </span>
                  <span className="bar-lane" title={`${millis.toFixed(1)} ms`}>
                    <span
                      className={`bar ${span.status.toLowerCase() === 'error' ? 'fill-bad' : 'fill-active'}`}
                      style={{ left: `${left}%`, width: `${width}%` }}
                    />
                  </span>
                  <span className="bar-millis">{millis.toFixed(1)} ms</span>
                </div>
              ))}
          </div>
        </>
      )}
    </Answer>
  );
}
