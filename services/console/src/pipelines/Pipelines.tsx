import { Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { DefinitionList } from '../definitions/DefinitionList';
import type { Columns } from '../ui/DataTable';
import { shown } from '../ui/names';
import { Time } from '../ui/Time';
import { useList } from '../ui/useList';
import { StartForm } from './StartForm';

type Pipeline = Schemas['Pipeline'];

const COLUMNS: Columns<Pipeline> = [
  {
    header: 'Pipeline',
    accessorKey: 'name',
    cell: ({ row: { original: one } }) => (
      <Link to="/pipelines/$id" params={{ id: one.id }} dir="auto">
        {shown(one.name) || one.id}
      </Link>
    ),
  },
  { header: 'Steps', id: 'steps', accessorFn: (one) => one.steps.length },
  { header: 'Project', accessorKey: 'project' },
  { header: 'Version', accessorKey: 'version' },
  {
    header: 'Changed',
    id: 'updated',
    accessorFn: (one) => one.updated_at,
    cell: ({ row }) => <Time at={row.original.updated_at} />,
  },
  { header: 'By', accessorKey: 'updated_by' },
  {
    header: 'Run',
    id: 'run',
    enableSorting: false,
    cell: ({ row: { original: one } }) => (
      <StartForm kind="pipeline" id={one.id} name={one.name || one.id} params={one.params} />
    ),
  },
];

export function Pipelines() {
  const query = useList('/api/v1/pipelines', { limit: 100 });
  return (
    <DefinitionList
      kind="pipeline"
      title="Pipelines"
      words="Saved graphs of steps, each on one engine"
      make="New pipeline"
      query={query}
      columns={COLUMNS}
      empty={{
        title: 'No pipeline yet',
        words: (
          <>
            Write one as a file and <code>signalbox pipeline apply FOLDER</code>; or try <code>make demo</code>.
          </>
        ),
      }}
    />
  );
}
