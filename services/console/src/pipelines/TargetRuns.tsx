import { $api } from '../api/client';
import { RunsTable } from '../runs/RunsTable';
import { Answer, Empty } from '../ui/Answer';

/** The newest runs of a job or a pipeline, `kind:id`. */
export function TargetRuns({ target }: { target: string }) {
  const query = $api.useQuery('get', '/api/v1/plans', { params: { query: { target: [target], limit: 50 } } });
  return (
    <Answer query={query}>
      {({ items }) => (items.length ? <RunsTable rows={items} label="Runs" /> : <Empty title="It never ran" />)}
    </Answer>
  );
}
