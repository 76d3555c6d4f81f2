import { Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { DefinitionList } from '../definitions/DefinitionList';
import type { Columns } from '../ui/DataTable';
import { shown } from '../ui/names';
import { useList } from '../ui/useList';
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
  const query = useList('/api/v1/schedules', { limit: 100 });
  return (
    <DefinitionList
      kind="schedule"
      title="Schedules"
      words="What starts by the clock"
      make="New schedule"
      query={query}
      columns={COLUMNS}
      empty={{
        title: 'No schedule yet',
        words: (
          <>
            Make one: <code>signalbox schedule create --file nightly.yaml</code>, with <code>cron</code>,{' '}
            <code>zone</code> and a <code>target</code>.
          </>
        ),
      }}
    />
  );
}
