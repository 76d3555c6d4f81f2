import { Tabs } from '@mantine/core';
import { useNavigate, useParams } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { $api, type Schemas } from '../api/client';
import { Answer, Loading } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { Json } from '../ui/Json';
import { shown } from '../ui/names';
import { Page } from '../ui/Page';
import { StartForm } from './StartForm';
import { TargetRuns } from './TargetRuns';
import { DefinitionControls } from '../definitions/DefinitionControls';
import { Versions } from '../definitions/Versions';

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
  const navigate = useNavigate();
  const [tab, setTab] = useState<string | null>('graph');
  const pipeline = query.data;
  return (
    <Page
      title={shown(pipeline?.name || id)}
      words={pipeline && `version ${pipeline.version} by ${pipeline.updated_by}. ${pipeline.description}`}
      actions={
        <>
          {pipeline && <StartForm kind="pipeline" id={id} name={pipeline.name || id} params={pipeline.params} />}
          {pipeline && <DefinitionControls kind="pipeline" id={id} gone={() => void navigate({ to: '/pipelines' })} />}
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
              <TargetRuns target={`pipeline:${id}`} />
            </Tabs.Panel>
            <Tabs.Panel value="versions">
              <Versions kind="pipeline" id={id} newest={found.version} />
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
