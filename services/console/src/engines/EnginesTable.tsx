import { Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { Empty } from '../ui/Answer';
import { DataTable, type Columns } from '../ui/DataTable';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';

type Engine = Schemas['Engine'];

export const ENGINE_COLUMNS: Columns<Engine> = [
  {
    header: 'Engine',
    accessorKey: 'id',
    cell: ({ row: { original: engine } }) => (
      <Link to="/engines/$id" params={{ id: engine.id }}>
        {engine.id}
      </Link>
    ),
  },
  { header: 'Kind', id: 'kind', accessorFn: (engine) => engine.connection.kind },
  {
    header: 'Intake',
    id: 'intake',
    accessorFn: (engine) => engine.state?.intake ?? engine.intake,
    cell: ({ getValue }) => <StateBadge kind="Intake" state={String(getValue())} />,
  },
  {
    header: 'Breaker',
    id: 'breaker',
    accessorFn: (engine) => engine.state?.breaker ?? '',
    cell: ({ row: { original: engine } }) => <StateBadge kind="BreakerState" state={engine.state?.breaker} />,
  },
  {
    header: 'Slots',
    id: 'slots',
    accessorFn: (engine) => engine.state?.slots_used ?? 0,
    cell: ({ row: { original: engine } }) => <Slots engine={engine} />,
  },
  { header: 'Queued', id: 'queued', accessorFn: (engine) => engine.state?.queued ?? 0 },
  {
    header: 'Last answer',
    id: 'answer',
    accessorFn: (engine) => engine.state?.last_answer_at ?? '',
    cell: ({ row: { original: engine } }) => <Time at={engine.state?.last_answer_at} />,
  },
];
const BRIEF = ENGINE_COLUMNS.filter((column) => !['kind', 'answer'].includes(column.id ?? ''));

export function EnginesTable({ rows, brief }: { rows: Engine[]; brief?: boolean }) {
  return (
    <DataTable rows={rows} columns={brief ? BRIEF : ENGINE_COLUMNS} label="Engines" idOf={(engine) => engine.id} />
  );
}

export function NoEngines() {
  return (
    <Empty title="No engine is registered">
      Nothing can run without one. Register it under{' '}
      <Link className="link" to="/engines">
        Engines
      </Link>
      , or type <code>signalbox engine create --file engine.yaml</code>.
    </Empty>
  );
}

export function Slots({ engine }: { engine: Engine }) {
  const slots = engine.state?.slots ?? engine.limits.concurrency ?? 0;
  const used = engine.state?.slots_used ?? 0;
  return (
    <span className="meter-box">
      <span className="meter" role="img" aria-label={`${used} of ${slots} slots taken`}>
        <span className="fill-active" style={{ flex: `0 0 ${slots ? Math.min(100, (100 * used) / slots) : 0}%` }} />
      </span>
      <span className="meter-words">
        {used} of {slots}
      </span>
    </span>
  );
}
