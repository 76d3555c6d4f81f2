import { $api } from '../api/client';
import { every } from '../live/connection';
import { Answer, Empty } from '../ui/Answer';
import { DataTable } from '../ui/DataTable';
import { Part } from '../ui/Page';

/** The first lines that could not be sent, and how each begins: for those who may see what events hold. */
export function BadLines({ id, runs }: { id: string; runs: boolean }) {
  const query = $api.useQuery(
    'get',
    '/api/admin/reprocessing/jobs/{id}/bad-lines',
    { params: { path: { id } } },
    { refetchInterval: runs ? every(5_000) : false },
  );
  return (
    <Part title="Lines that could not be sent">
      <Answer query={query} lines={2}>
        {({ bad_lines: lines }) =>
          lines.length ? (
            <DataTable
              label="Lines that could not be sent"
              rows={lines}
              idOf={(one) => `${one.path} ${one.line}`}
              columns={[
                {
                  header: 'File',
                  accessorKey: 'path',
                  cell: ({ row }) => <span className="wrap">{row.original.path}</span>,
                },
                { header: 'Line', accessorKey: 'line' },
                { header: 'Byte', accessorKey: 'byte' },
                { header: 'Why', accessorKey: 'reason' },
                {
                  header: 'Begins with',
                  id: 'sample',
                  enableSorting: false,
                  cell: ({ row }) => <code className="wrap">{row.original.sample}</code>,
                },
              ]}
            />
          ) : (
            <Empty title="No sample yet">The workers report them with their progress.</Empty>
          )
        }
      </Answer>
    </Part>
  );
}
