import { $api } from '../api/client';
import { every } from '../live/connection';
import { Time } from '../ui/Time';

export function NextTick({ id }: { id: string }) {
  const query = $api.useQuery(
    'get',
    '/api/v1/schedules/{id}/next',
    { params: { path: { id }, query: { count: 1 } } },
    { refetchInterval: every(30_000) },
  );
  return <Time at={query.data?.ticks[0]?.due_at} />;
}
