import { Link } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { $api } from '../api/client';
import { FAILED_PLANS, LIVE_PLANS } from '../state/tokens';
import { useMay } from '../session/me';
import { Answer, Empty, Loading } from '../ui/Answer';
import { Page, Part } from '../ui/Page';
import { RunsTable } from '../runs/RunsTable';
import { EnginesTable, NoEngines } from '../engines/EnginesTable';
import { dayAgo } from '../runs/since';

const Throughput = lazy(() => import('./Throughput'));
const UNFINISHED = [
  'ACCEPTED',
  'RESOLVING',
  'PREVIEWED',
  'AWAITING_APPROVAL',
  'RUNNING',
  'PAUSED',
  'CANCELLING',
] as const;
const NEEDS = ['AWAITING_APPROVAL', 'PREVIEWED', 'PAUSED'];

export function Overview() {
  const may = useMay();
  const ended_after = dayAgo();
  const counts = $api.useQuery('get', '/api/v1/plans/counts', { params: { query: { ended_after } } });
  // what runs or waits for somebody counts however old it is
  const now = $api.useQuery('get', '/api/v1/plans/counts', { params: { query: { state: [...UNFINISHED] } } });
  const live = $api.useQuery('get', '/api/v1/plans', { params: { query: { state: [...LIVE_PLANS], limit: 8 } } });
  const failed = $api.useQuery('get', '/api/v1/plans', {
    params: { query: { state: [...FAILED_PLANS], ended_after, limit: 8 } },
  });
  const needs = $api.useQuery('get', '/api/v1/plans', { params: { query: { state: NEEDS, limit: 8 } } });
  const engines = $api.useQuery('get', '/api/v1/engines', { params: { query: { limit: 50 } } });
  const incidents = $api.useQuery(
    'get',
    '/api/v1/incidents',
    { params: { query: { state: ['open'], limit: 50 } } },
    { enabled: may('incident.read') },
  );
  const sum = (counted: Record<string, number> | undefined, states: readonly string[]) =>
    counted && states.reduce((total, state) => total + (counted[state] ?? 0), 0);
  const of = (...states: readonly string[]) => sum(now.data?.counts, states);
  const today = (...states: readonly string[]) => sum(counts.data?.counts, states);
  const open = incidents.data?.items.length;
  return (
    <Page title="Overview" words="What needs somebody now, what runs, and what ended of the last 24 hours">
      <div className="tiles">
        {may('incident.read') && (
          <Link className={`tile ${open ? 'loud' : ''}`} to="/incidents" search={{ state: ['open'] }}>
            <b>
              {open ?? '–'}
              {incidents.data?.next_cursor && '+'}
            </b>
            <span>open incidents</span>
          </Link>
        )}
        <Tile
          count={today(...FAILED_PLANS)}
          what="failed"
          search={{ state: [...FAILED_PLANS], ended: '1' }}
          tone="loud"
        />
        <Tile count={of(...NEEDS)} what="wait for somebody" search={{ state: NEEDS }} tone="warned" />
        <Tile count={of('RUNNING', 'CANCELLING')} what="running" search={{ state: ['RUNNING', 'CANCELLING'] }} />
        <Tile count={of('ACCEPTED', 'RESOLVING')} what="about to start" search={{ state: ['ACCEPTED', 'RESOLVING'] }} />
        <Tile count={today('SUCCEEDED')} what="succeeded" search={{ state: ['SUCCEEDED'], ended: '1' }} />
      </div>
      <div className="grid">
        {(needs.data?.items.length ?? 0) > 0 && (
          <Part title="Waits for somebody">
            <RunsTable rows={needs.data!.items} brief label="Waits for somebody" />
          </Part>
        )}
        <Part title="Failed">
          <Answer query={failed} lines={4}>
            {(page) =>
              page.items.length ? (
                <RunsTable rows={page.items} brief label="Failed" />
              ) : (
                <Empty title="Nothing failed in 24 hours">
                  Older failures are under{' '}
                  <Link className="link" to="/runs" search={{ state: [...FAILED_PLANS] }}>
                    Runs
                  </Link>
                  .
                </Empty>
              )
            }
          </Answer>
        </Part>
        <Part title="Running and waiting">
          <Answer query={live} lines={4}>
            {(page) =>
              page.items.length ? <RunsTable rows={page.items} brief label="Running and waiting" /> : <NothingRuns />
            }
          </Answer>
        </Part>
        <Part title="Runs per hour">
          <Suspense fallback={<Loading lines={4} />}>
            <Throughput />
          </Suspense>
        </Part>
        <Part title="Engines">
          <Answer query={engines} lines={4}>
            {(page) => (page.items.length ? <EnginesTable rows={page.items} brief /> : <NoEngines />)}
          </Answer>
        </Part>
      </div>
    </Page>
  );
}

function Tile(props: {
  count: number | undefined;
  what: string;
  search: { state: string[]; ended?: string };
  tone?: string;
}) {
  return (
    <Link className={`tile ${props.count ? (props.tone ?? '') : ''}`} to="/runs" search={props.search}>
      <b>{props.count?.toLocaleString('en') ?? '–'}</b>
      <span>{props.what}</span>
    </Link>
  );
}

function NothingRuns() {
  return (
    <Empty title="Nothing runs">
      Start a{' '}
      <Link className="link" to="/pipelines">
        pipeline
      </Link>{' '}
      or a{' '}
      <Link className="link" to="/jobs">
        job
      </Link>
      , or let a{' '}
      <Link className="link" to="/schedules">
        schedule
      </Link>{' '}
      do it.
    </Empty>
  );
}
