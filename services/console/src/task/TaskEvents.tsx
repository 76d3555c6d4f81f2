import { $api } from '../api/client';
import { EventTable } from '../ui/EventTable';

export function TaskEvents({ id }: { id: string }) {
  const query = $api.useQuery('get', '/api/v1/tasks/{id}/events', { params: { path: { id }, query: { limit: 200 } } });
  return <EventTable query={query} kind="TaskState" column={{ header: 'Attempt', accessorKey: 'attempt' }} />;
}
