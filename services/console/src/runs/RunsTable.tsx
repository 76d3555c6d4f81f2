import { Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { shown } from '../ui/names';
import { DataTable, type Columns } from '../ui/DataTable';
import { Meter } from '../ui/Meter';
import { StateBadge } from '../ui/StateBadge';
import { Time, Took } from '../ui/Time';

type Plan = Schemas['Plan'];

const name: Columns<Plan>[number] = {
  header: 'Run',
  accessorKey: 'name',
  cell: ({ row: { original: plan } }) => (
    <Link to="/runs/$id" params={{ id: plan.id }} dir="auto">
      <span className="clip" title={plan.name}>
        {shown(plan.name) || plan.id}
      </span>
    </Link>
  ),
};
const state: Columns<Plan>[number] = {
  header: 'State',
  accessorKey: 'state',
  cell: ({ row: { original: plan } }) => <StateBadge kind="PlanState" state={plan.state} />,
};
const progress: Columns<Plan>[number] = {
  header: 'Items',
  accessorFn: (plan) => plan.counts.total ?? 0,
  cell: ({ row: { original: plan } }) => <Meter counts={plan.counts} />,
};
const created: Columns<Plan>[number] = {
  header: 'Requested',
  accessorKey: 'created_at',
  cell: ({ row: { original: plan } }) => <Time at={plan.created_at} />,
};

/** What the run is, when it was wanted, and what ended or holds it: the rest is on its page. */
const described: Columns<Plan>[number] = {
  ...name,
  cell: ({ row: { original: plan } }) => (
    <div className="described">
      <Link to="/runs/$id" params={{ id: plan.id }} dir="auto" title={plan.name}>
        {shown(plan.name) || plan.id}
      </Link>
      <div className="dim" title={reasonOf(plan)}>
        <Time at={plan.created_at} />
        {reasonOf(plan) && ` · ${reasonOf(plan)}`}
      </div>
    </div>
  ),
};

const ALL: Columns<Plan> = [
  name,
  state,
  progress,
  {
    header: 'Waits for',
    id: 'waiting',
    enableSorting: false,
    cell: ({ row: { original: plan } }) => <Why plan={plan} />,
  },
  {
    header: 'By',
    accessorKey: 'actor',
    meta: { wide: true },
    cell: ({ row }) => <span className="clip short">{row.original.actor}</span>,
  },
  {
    header: 'Took',
    id: 'took',
    meta: { wide: true },
    accessorFn: (plan) =>
      plan.started_at ? (plan.ended_at ? Date.parse(plan.ended_at) : Date.now()) - Date.parse(plan.started_at) : 0,
    cell: ({ row: { original: plan } }) => <Took from={plan.started_at} to={plan.ended_at} />,
  },
  created,
];
const BRIEF: Columns<Plan> = [described, state, progress];

type Props = { rows: Plan[]; label: string; brief?: boolean };

export function RunsTable({ rows, label, brief }: Props) {
  return <DataTable rows={rows} columns={brief ? BRIEF : ALL} label={label} idOf={(plan) => plan.id} />;
}

const reasonOf = (plan: Plan) => (plan.ended_at ? '' : plan.waiting[0]?.sentence) || shown(plan.reason ?? '');

function Why({ plan }: { plan: Plan }) {
  const first = plan.waiting[0];
  if (!first || plan.ended_at) return <span className="dim">–</span>;
  return (
    <span className="clip short" title={first.sentence}>
      {first.sentence}
    </span>
  );
}
