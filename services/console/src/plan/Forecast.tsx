import { $api, type Schemas } from '../api/client';
import { every } from '../live/connection';
import { Time } from '../ui/Time';
import { duration } from '../ui/instants';

/** When it will end, and what would change that. */
export function Forecast({ plan }: { plan: Schemas['Plan'] }) {
  const query = $api.useQuery(
    'get',
    '/api/v1/plans/{id}/forecast',
    { params: { path: { id: plan.id } } },
    { enabled: ['RUNNING', 'PAUSED'].includes(plan.state), refetchInterval: every(20_000) },
  );
  const found = query.data;
  if (plan.ended_at || !found) return null;
  if (!found.forecast) return found.reason ? <p className="dim">No forecast: {found.reason}</p> : null;
  const { forecast } = found;
  return (
    <p>
      Ends about <Time at={forecast.ends_at} /> (between <Time at={forecast.earliest_end_at} exact /> and{' '}
      <Time at={forecast.latest_end_at} exact />
      ), bound by {forecast.bound_by}.
      {forecast.changes.map((change) => (
        <span key={change.what} className="dim">
          {' '}
          {change.what}: {duration(change.seconds)}.
        </span>
      ))}
    </p>
  );
}
