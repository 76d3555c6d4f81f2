import { Tabs } from '@mantine/core';
import { useParams } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { $api, type Schemas } from '../api/client';
import { RunsTable } from '../runs/RunsTable';
import { Answer, Empty, Loading } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { Json } from '../ui/Json';
import { shown } from '../ui/names';
import { Page } from '../ui/Page';
import { StartForm } from './StartForm';
import { Versions } from './Versions';

const Graph = lazy(() => import('../plan/Graph'));

const summary = (step: Schemas['Step']): Schemas['StepSummary'] => ({
  id: step.id,
  counts: {},
  depends_on: (step.depends_on ?? []).map((one) => one.step),
  reason: `${step.work.kind} on ${step.engine ?? 'the engine of its kind'}${step.condition ? `, if ${step.condition}` : ''}`,
});

export function PipelinePage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/pipelines/{id}', { params: { path: { id } } });
  const [tab, setTab] = useState<string | null>('graph');
  const pipeline = query.data;
  return (
    <Page
      title={shown(pipeline?.name || id)}
      words={pipeline && `version ${pipeline.version} by ${pipeline.updated_by}. ${pipeline.description}`}
      actions={
        <>
          {pipeline && <StartForm kind="pipeline" id={id} name={pipeline.name || id} params={pipeline.params} />}
          <CopyMenu cli={`signalbox pipeline show ${id}`} path={`/api/v1/pipelines/${id}`} json={pipeline} />
        </>
      }
    >
      <Answer query={query}>
        {(found) => (
          <Tabs value={tab} onChange={setTab} keepMounted={false}>
            <Tabs.List mb="sm">
              <Tabs.Tab value="graph">Graph</Tabs.Tab>
              <Tabs.Tab value="runs">Runs</Tabs.Tab>
              <Tabs.Tab value="versions">Versions</Tabs.Tab>
              <Tabs.Tab value="raw">JSON</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="graph">
              <Suspense fallback={<Loading />}>
                <Graph steps={found.steps.map(summary)} />
              </Suspense>
            </Tabs.Panel>
            <Tabs.Panel value="runs">
              <PipelineRuns id={id} />
            </Tabs.Panel>
            <Tabs.Panel value="versions">
              <Versions id={id} newest={found.version} />
            </Tabs.Panel>
            <Tabs.Panel value="raw">
              <Json value={found} />
            </Tabs.Panel>
          </Tabs>
        )}
      </Answer>
    </Page>
  );
}

function PipelineRuns({ id }: { id: string }) {
  const query = $api.useQuery('get', '/api/v1/plans', { params: { query: { target: [`pipeline:${id}`], limit: 50 } } });
  return (
    <Answer query={query}>
      {({ items }) => (items.length ? <RunsTable rows={items} label="Runs" /> : <Empty title="It never ran" />)}
    </Answer>
  );
}
