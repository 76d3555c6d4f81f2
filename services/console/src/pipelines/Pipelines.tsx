import { Link, useNavigate } from '@tanstack/react-router';
import { $api, type Schemas } from '../api/client';
import { Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import type { Columns } from '../ui/DataTable';
import { ListPart } from '../ui/ListPart';
import { shown } from '../ui/names';
import { Page } from '../ui/Page';
import { Time } from '../ui/Time';
import { NewDefinition } from '../definitions/Editor';
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
  const navigate = useNavigate();
  const query = $api.useQuery('get', '/api/v1/pipelines', { params: { query: { limit: 100 } } });
  return (
    <Page
      title="Pipelines"
      words="Saved graphs of steps, each on one engine"
      actions={
        <>
          <NewDefinition
            kind="pipeline"
            label="New pipeline"
            done={(id) => void navigate({ to: '/pipelines/$id', params: { id } })}
          />
          <CopyMenu cli="signalbox pipeline list" path="/api/v1/pipelines" json={query.data} />
        </>
      }
    >
      <ListPart
        query={query}
        columns={COLUMNS}
        label="Pipelines"
        idOf={(one) => one.id}
        empty={
          <Empty title="No pipeline yet">
            Write one as a file and <code>signalbox pipeline apply FOLDER</code>; or try <code>make demo</code>.
          </Empty>
        }
      />
    </Page>
  );
}
