import { EventTable } from '../ui/EventTable';
import { useList } from '../ui/useList';

export function TaskEvents({ id }: { id: string }) {
  const query = useList('/api/v1/tasks/{id}/events', { limit: 200 }, { id });
  return <EventTable query={query} kind="TaskState" column={{ header: 'Attempt', accessorKey: 'attempt' }} />;
}
