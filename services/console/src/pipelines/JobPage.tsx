import { useParams } from '@tanstack/react-router';
import { $api } from '../api/client';
import { DefinitionPage } from '../definitions/DefinitionPage';
import { Facts, Json } from '../ui/Json';
import { Part } from '../ui/Page';
import { StartForm } from './StartForm';
import { TargetRuns } from './TargetRuns';

/** One job: what it does and where, its runs, and who changed it when. */
export function JobPage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/jobs/{id}', { params: { path: { id } } });
  return (
    <DefinitionPage
      kind="job"
      id={id}
      query={query}
      controls={(one) => <StartForm kind="job" id={id} name={one.name || id} params={one.params} />}
      tabs={[{ id: 'runs', label: 'Runs', show: () => <TargetRuns target={`job:${id}`} /> }]}
    >
      {(one) => (
        <Part title="Work">
          <Facts
            rows={[
              ['Kind', one.work.kind],
              ['Engine', one.engine ?? 'the engine of its kind'],
              ['Attempts', one.retries.max_attempts ?? 1],
              ['Project', one.project],
            ]}
          />
          <Json value={one.work} label="Work" />
        </Part>
      )}
    </DefinitionPage>
  );
}
