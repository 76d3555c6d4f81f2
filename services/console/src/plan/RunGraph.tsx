import { $api, type Schemas } from '../api/client';
import { Loading } from '../ui/Answer';
import Graph from './Graph';
import { withArrows } from './steps';

const DETAILED_STEPS = 100;

/** The steps of a run as a graph. */
export default function RunGraph({ plan }: { plan: Schemas['Plan'] }) {
  const [kind, id = ''] = (plan.target ?? '').split(':');
  const asks = plan.steps.length > DETAILED_STEPS && kind === 'pipeline';
  const query = $api.useQuery(
    'get',
    '/api/v1/pipelines/{id}',
    { params: { path: { id }, query: { version: plan.target_version ?? undefined } } },
    { enabled: asks },
  );
  if (asks && query.isPending) return <Loading />;
  return <Graph steps={query.data ? withArrows(plan.steps, query.data.steps) : plan.steps} />;
}
