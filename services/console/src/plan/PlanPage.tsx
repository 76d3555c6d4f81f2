import { Tabs } from '@mantine/core';
import { getRouteApi, Link } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { $api, type Schemas } from '../api/client';
import { Answer, Loading } from '../ui/Answer';
import { CopyMenu, Id } from '../ui/Copy';
import { Facts, Json } from '../ui/Json';
import { Meter } from '../ui/Meter';
import { counted, shown } from '../ui/names';
import { Page, Part } from '../ui/Page';
import { Sentence } from '../ui/Sentence';
import { StateBadge } from '../ui/StateBadge';
import { Time, Took } from '../ui/Time';
import { Controls } from './Controls';
import { Difference } from './Difference';
import { Events } from './Events';
import { Forecast } from './Forecast';
import { Items } from './Items';
import { Preview } from './Preview';
import { RerunSteps } from './RerunSteps';
import { RulesForm } from './RulesForm';
import { Timeline } from './Timeline';

const RunGraph = lazy(() => import('./RunGraph'));
const route = getRouteApi('/runs/$id');

export function PlanPage() {
  const { id } = route.useParams();
  const query = $api.useQuery('get', '/api/v1/plans/{id}', { params: { path: { id } } });
  const name = shown(query.data?.name ?? '') || id.slice(0, 13);
  return (
    <Page
      title={name}
      beside={query.data && <StateBadge kind="PlanState" state={query.data.state} />}
      words={query.data && <Head plan={query.data} />}
      actions={
        <>
          {query.data && <Controls plan={query.data} />}
          {query.data && <RerunSteps plan={query.data} />}
          <CopyMenu cli={`signalbox plan show ${id}`} path={`/api/v1/plans/${id}`} json={query.data} />
        </>
      }
    >
      <Answer query={query}>{(plan) => <PlanBody plan={plan} />}</Answer>
    </Page>
  );
}

function Head({ plan }: { plan: Schemas['Plan'] }) {
  return (
    <>
      <Id value={plan.id} /> · requested by {plan.actor} <Time at={plan.created_at} />
      {plan.parent && (
        <>
          {' '}
          · child of{' '}
          <Link className="link" to="/runs/$id" params={{ id: plan.parent }}>
            {plan.parent.slice(0, 13)}
          </Link>
        </>
      )}
    </>
  );
}

function PlanBody({ plan }: { plan: Schemas['Plan'] }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const graph = plan.steps.length > 0;
  const previewed = plan.preview_hash !== null && ['PREVIEWED', 'AWAITING_APPROVAL'].includes(plan.state);
  const tab = search.tab ?? 'items';
  return (
    <>
      {plan.pending_operation && (
        <div className="banner" role="status">
          {plan.pending_operation.operation} was requested by {plan.pending_operation.actor}{' '}
          <Time at={plan.pending_operation.requested_at} /> and is not answered yet
        </div>
      )}
      <Part title="Progress" beside={<span className="dim">{counted(plan.counts.total ?? 0, 'item')}</span>}>
        <Meter counts={plan.counts} words />
        {plan.reason && (
          <p className={`why ${plan.ended_at ? 'ended' : ''}`} dir="auto">
            <Sentence text={plan.reason} />
          </p>
        )}
        {!plan.ended_at && plan.waiting.length > 0 && (
          <div aria-label="Why it waits" role="group">
            {plan.waiting.map((one) => (
              <p className="why" key={`${one.why}${one.holder}`}>
                <Sentence text={one.sentence} />
              </p>
            ))}
          </div>
        )}
        <div style={{ marginTop: 12 }}>
          <Facts
            rows={[
              ['Started', <Time key="s" at={plan.started_at} />],
              ['Took', <Took key="t" from={plan.started_at} to={plan.ended_at} />],
              [
                'Runs',
                plan.target ? `${plan.target}${plan.target_version ? ` v${plan.target_version}` : ''}` : 'items',
              ],
              ['Event date', plan.event_date],
              ['Origin', plan.origin],
              ['Project', plan.project],
            ]}
          />
        </div>
        <Forecast plan={plan} />
      </Part>
      {plan.state === 'REFUSED' && plan.difference !== null && <Difference value={plan.difference} />}
      {previewed && <Preview plan={plan} />}
      <Tabs
        value={tab}
        onChange={(next) => void navigate({ search: (old) => ({ ...old, tab: next ?? undefined }), replace: true })}
        keepMounted={false}
      >
        <Tabs.List mb="sm">
          <Tabs.Tab value="items">Items</Tabs.Tab>
          <Tabs.Tab value="timeline">Timeline</Tabs.Tab>
          {graph && <Tabs.Tab value="graph">Graph</Tabs.Tab>}
          <Tabs.Tab value="events">Events</Tabs.Tab>
          <Tabs.Tab value="rules">Rules</Tabs.Tab>
          <Tabs.Tab value="raw">JSON</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="items">
          <Items plan={plan} />
        </Tabs.Panel>
        <Tabs.Panel value="timeline">
          <Timeline plan={plan} />
        </Tabs.Panel>
        <Tabs.Panel value="graph">
          <Suspense fallback={<Loading />}>
            <RunGraph plan={plan} />
          </Suspense>
        </Tabs.Panel>
        <Tabs.Panel value="events">
          <Events id={plan.id} />
        </Tabs.Panel>
        <Tabs.Panel value="rules">
          <RulesForm plan={plan} />
        </Tabs.Panel>
        <Tabs.Panel value="raw">
          <Json value={plan} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
