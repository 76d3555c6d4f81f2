import { Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { DefinitionList } from '../definitions/DefinitionList';
import type { Columns } from '../ui/DataTable';
import { shown } from '../ui/names';
import { matches } from './matches';
import { Time } from '../ui/Time';
import { useList } from '../ui/useList';

type Trigger = Schemas['Trigger'];

const COLUMNS: Columns<Trigger> = [
  {
    header: 'Trigger',
    accessorKey: 'name',
    cell: ({ row: { original: one } }) => (
      <Link to="/triggers/$id" params={{ id: one.id }} dir="auto">
        {shown(one.name) || one.id}
      </Link>
    ),
  },
  { header: 'Matches', id: 'match', accessorFn: matches },
  { header: 'Starts', id: 'target', accessorFn: (one) => `${one.target.kind} ${one.target.id}` },
  { header: 'Matched', id: 'matched', accessorFn: (one) => one.state?.matched ?? 0 },
  { header: 'Did not', id: 'not', accessorFn: (one) => one.state?.not_matched ?? 0 },
  { header: 'Last', id: 'last', cell: ({ row }) => <Time at={row.original.state?.last_matched_at} /> },
  { header: 'State', id: 'paused', accessorFn: (one) => (one.paused ? 'paused' : 'on') },
];

export function Triggers() {
  const query = useList('/api/v1/triggers', { limit: 100 });
  return (
    <DefinitionList
      kind="trigger"
      title="Triggers"
      words="What starts when an event comes"
      make="New trigger"
      query={query}
      columns={COLUMNS}
      empty={{
        title: 'No trigger yet',
        words: (
          <>
            Make one: <code>signalbox trigger create --file new-files.yaml</code>, with what it matches and what it
            starts.
          </>
        ),
      }}
    />
  );
}
