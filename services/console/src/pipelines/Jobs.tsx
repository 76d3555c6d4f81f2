import { Link, useNavigate } from '@tanstack/react-router';
import { $api } from '../api/client';
import { Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { ListPart } from '../ui/ListPart';
import { shown } from '../ui/names';
import { Page } from '../ui/Page';
import { Time } from '../ui/Time';
import { NewDefinition } from '../definitions/Editor';
import { StartForm } from './StartForm';

export function Jobs() {
  const navigate = useNavigate();
  const query = $api.useQuery('get', '/api/v1/jobs', { params: { query: { limit: 100 } } });
  return (
    <Page
      title="Jobs"
      words="Saved work on one engine each"
      actions={
        <>
          <NewDefinition kind="job" label="New job" done={(id) => void navigate({ to: '/jobs/$id', params: { id } })} />
          <CopyMenu cli="signalbox job list" path="/api/v1/jobs" json={query.data} />
        </>
      }
    >
      <ListPart
        query={query}
        label="Jobs"
        idOf={(one) => one.id}
        empty={
          <Empty title="No job yet">
            Make one: <code>signalbox job create --file job.yaml</code>
          </Empty>
        }
        columns={[
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
        ]}
      />
    </Page>
  );
}
