import type { Kind } from '../state/tokens';
import { Empty, type Query } from './Answer';
import type { Columns } from './DataTable';
import { ListPart } from './ListPart';
import { StateBadge } from './StateBadge';
import { Time } from './Time';

type StateEvent = { at: string; state: string; reason: string; version: number };

/** The events of a plan or a task, in order: when, which state, why. `column` is what only events of this kind have. */
export function EventTable<E extends StateEvent>({
  query,
  kind,
  column,
}: {
  query: Query<{ items: E[] }>;
  kind: Kind;
  column: Columns<E>[number];
}) {
  const columns: Columns<E> = [
    {
      header: 'When',
      id: 'at',
      accessorFn: (event) => event.at,
      cell: ({ row }) => <Time at={row.original.at} exact />,
    },
    {
      header: 'State',
      id: 'state',
      accessorFn: (event) => event.state,
      cell: ({ row }) => <StateBadge kind={kind} state={row.original.state} />,
    },
    column,
    { header: 'Why', id: 'reason', accessorFn: (event) => event.reason || '–' },
    { header: 'Version', id: 'version', accessorFn: (event) => event.version },
  ];
  return (
    <ListPart
      query={query}
      label="Events"
      idOf={(event) => String(event.version)}
      columns={columns}
      empty={<Empty title="No events yet">They appear here as soon as its state changes.</Empty>}
    />
  );
}
