import { Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { DefinitionList } from '../definitions/DefinitionList';
import type { Columns } from '../ui/DataTable';
import { shown } from '../ui/names';
import { Time } from '../ui/Time';
import { useList } from '../ui/useList';
import { StartForm } from './StartForm';

const COLUMNS: Columns<Schemas['Job']> = [
  {
    header: 'Job',
    accessorKey: 'name',
    cell: ({ row: { original: one } }) => (
      <Link to="/jobs/$id" params={{ id: one.id }} dir="auto">
        {shown(one.name) || one.id}
      </Link>
    ),
  },
  { header: 'Kind', id: 'kind', accessorFn: (one) => one.work.kind },
  { header: 'Engine', id: 'engine', accessorFn: (one) => one.engine ?? 'by kind' },
  { header: 'Project', accessorKey: 'project' },
  { header: 'Version', accessorKey: 'version' },
  { header: 'Changed', id: 'updated', cell: ({ row }) => <Time at={row.original.updated_at} /> },
  {
    header: 'Run',
    id: 'run',
    enableSorting: false,
    cell: ({ row: { original: one } }) => (
      <StartForm kind="job" id={one.id} name={one.name || one.id} params={one.params} />
    ),
  },
];

export function Jobs() {
  const query = useList('/api/v1/jobs', { limit: 100 });
  return (
    <DefinitionList
      kind="job"
      title="Jobs"
      words="Saved work on one engine each"
      make="New job"
      query={query}
      columns={COLUMNS}
      empty={{
        title: 'No job yet',
        words: (
          <>
            Make one: <code>signalbox job create --file job.yaml</code>
          </>
        ),
      }}
    />
  );
}
