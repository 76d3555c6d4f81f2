import { useParams } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { $api } from '../api/client';
import { DefinitionPage } from '../definitions/DefinitionPage';
import { summary } from '../plan/steps';
import { Loading } from '../ui/Answer';
import { StartForm } from './StartForm';
import { TargetRuns } from './TargetRuns';

const Graph = lazy(() => import('../plan/Graph'));

export function PipelinePage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/pipelines/{id}', { params: { path: { id } } });
  return (
    <DefinitionPage
      kind="pipeline"
      id={id}
      query={query}
      controls={(one) => <StartForm kind="pipeline" id={id} name={one.name || id} params={one.params} />}
      tabs={[
        {
          id: 'graph',
          label: 'Graph',
          show: (one) => (
            <Suspense fallback={<Loading />}>
              <Graph steps={one.steps.map(summary)} />
            </Suspense>
          ),
        },
        { id: 'runs', label: 'Runs', show: () => <TargetRuns target={`pipeline:${id}`} /> },
      ]}
    />
  );
}
