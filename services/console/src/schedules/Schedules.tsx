import { Link, useNavigate } from '@tanstack/react-router';
import { $api, type Schemas } from '../api/client';
import { Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import type { Columns } from '../ui/DataTable';
import { ListPart } from '../ui/ListPart';
import { shown } from '../ui/names';
import { Page } from '../ui/Page';
import { NewDefinition } from '../definitions/Editor';
import { NextTick } from './NextTick';

type Schedule = Schemas['Schedule'];

const COLUMNS: Columns<Schedule> = [
  {
    header: 'Schedule',
    accessorKey: 'name',
    cell: ({ row: { original: one } }) => (
      <Link to="/schedules/$id" params={{ id: one.id }} dir="auto">
        {shown(one.name) || one.id}
      </Link>
    ),
  },
  {
    header: 'Starts',
    id: 'target',
    accessorFn: (one) => `${one.target.kind} ${one.target.id}`,
  },
  { header: 'Rule', id: 'cron', accessorFn: (one) => one.cron, cell: ({ row }) => <code>{row.original.cron}</code> },
  { header: 'Zone', accessorKey: 'zone' },
  {
    header: 'Next',
    id: 'next',
    enableSorting: false,
    cell: ({ row: { original: one } }) => (one.paused ? <span className="dim">paused</span> : <NextTick id={one.id} />),
  },
  { header: 'Overlap', accessorKey: 'overlap' },
];

export function Schedules() {
  const navigate = useNavigate();
  const query = $api.useQuery('get', '/api/v1/schedules', { params: { query: { limit: 100 } } });
  return (
    <Page
      title="Schedules"
      words="What starts by the clock"
      actions={
        <>
          <NewDefinition
            kind="schedule"
            label="New schedule"
            done={(id) => void navigate({ to: '/schedules/$id', params: { id } })}
          />
          <CopyMenu cli="signalbox schedule list" path="/api/v1/schedules" json={query.data} />
        </>
      }
    >
      <ListPart
        query={query}
        columns={COLUMNS}
        label="Schedules"
        idOf={(one) => one.id}
        empty={
          <Empty title="No schedule yet">
            Make one: <code>signalbox schedule create --file nightly.yaml</code>, with <code>cron</code>,{' '}
            <code>zone</code> and a <code>target</code>.
          </Empty>
        }
      />
    </Page>
  );
}
