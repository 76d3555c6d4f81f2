import { EventTable } from '../ui/EventTable';
import { useList } from '../ui/useList';

/** What became of the plan, in order, with who and why. */
export function Events({ id }: { id: string }) {
  const query = useList('/api/v1/plans/{id}/events', { limit: 200 }, { id });
  const actor = {
    header: 'By',
    id: 'actor',
    accessorFn: (event: { actor?: string | null }) => event.actor ?? 'Signalbox',
  };
  return <EventTable query={query} kind="PlanState" column={actor} />;
}
