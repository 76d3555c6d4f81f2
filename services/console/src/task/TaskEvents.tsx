import { $api } from '../api/client';
import { Answer, Empty } from '../ui/Answer';
import { DataTable } from '../ui/DataTable';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';

export function TaskEvents({ id }: { id: string }) {
  const query = $api.useQuery('get', '/api/v1/tasks/{id}/events', { params: { path: { id }, query: { limit: 200 } } });
  return (
    <Answer query={query}>
      {({ items }) =>
        items.length ? (
          <DataTable
            label="Events"
            rows={items}
            idOf={(event) => String(event.version)}
            columns={[
              { header: 'When', accessorKey: 'at', cell: ({ row }) => <Time at={row.original.at} exact /> },
              {
                header: 'State',
                accessorKey: 'state',
                cell: ({ row }) => <StateBadge kind="TaskState" state={row.original.state} />,
              },
              { header: 'Attempt', accessorKey: 'attempt' },
              { header: 'Why', id: 'reason', accessorFn: (event) => event.reason || '–' },
              { header: 'Version', accessorKey: 'version' },
            ]}
          />
        ) : (
          <Empty title="No events yet" />
        )
      }
    </Answer>
  );
}
