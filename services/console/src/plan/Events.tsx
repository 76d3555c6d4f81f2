import { $api } from '../api/client';
import { EventTable } from '../ui/EventTable';

/** What became of the plan, in order, with who and why. */
export function Events({ id }: { id: string }) {
  const query = $api.useQuery('get', '/api/v1/plans/{id}/events', { params: { path: { id }, query: { limit: 200 } } });
  const actor = {
    header: 'By',
    id: 'actor',
    accessorFn: (event: { actor?: string | null }) => event.actor ?? 'Signalbox',
  };
  return <EventTable query={query} kind="PlanState" column={actor} />;
}
