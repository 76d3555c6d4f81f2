import { Group } from '@mantine/core';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { TOKENS } from '../state/tokens';
import { Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import type { Columns } from '../ui/DataTable';
import { ListPart } from '../ui/ListPart';
import { Page } from '../ui/Page';
import { shown } from '../ui/names';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';
import { useList } from '../ui/useList';
import { IncidentControls } from './IncidentControls';

const route = getRouteApi('/incidents');
type Incident = Schemas['Incident'];

const COLUMNS: Columns<Incident> = [
  {
    header: 'Incident',
    accessorKey: 'title',
    cell: ({ row: { original: one } }) =>
      one.plan_id ? (
        <Link
          to="/runs/$id"
          params={{ id: one.plan_id }}
          dir="auto"
          className="incident-title"
          title={shown(one.title)}
        >
          {shown(one.title)}
        </Link>
      ) : one.engine_id ? (
        <Link
          to="/engines/$id"
          params={{ id: one.engine_id }}
          dir="auto"
          className="incident-title"
          title={shown(one.title)}
        >
          {shown(one.title)}
        </Link>
      ) : (
        <span dir="auto" className="incident-title" title={shown(one.title)}>
          {shown(one.title)}
        </span>
      ),
  },
  {
    header: 'State',
    accessorKey: 'state',
    cell: ({ row }) => <StateBadge kind="IncidentState" state={row.original.state} />,
  },
  {
    header: 'Actions',
    id: 'do',
    enableSorting: false,
    cell: ({ row }) => <IncidentControls incident={row.original} />,
  },
  { header: 'Severity', accessorKey: 'severity', meta: { wide: true } },
  { header: 'Count', accessorKey: 'occurrences' },
  {
    header: 'First',
    accessorKey: 'first_at',
    meta: { wide: true },
    cell: ({ row }) => <Time at={row.original.first_at} />,
  },
  { header: 'Last', accessorKey: 'last_at', cell: ({ row }) => <Time at={row.original.last_at} /> },
  {
    header: 'Who',
    id: 'who',
    cell: ({ row: { original: one } }) =>
      one.snoozed_until_at && one.state === 'snoozed' ? (
        <>
          until <Time at={one.snoozed_until_at} />
        </>
      ) : (
        (one.acknowledged_by ?? <span className="dim">–</span>)
      ),
  },
];

export function Incidents() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const query = useList('/api/v1/incidents', { limit: 100, ...(search.state ? { state: search.state } : {}) });
  return (
    <Page
      title="Incidents"
      words="Failures of one cause are one incident: how often, since when, who looks after it"
      actions={<CopyMenu cli="signalbox incident list" path="/api/v1/incidents" json={query.data} />}
    >
      <Group gap={6} mb="sm" role="group" aria-label="States">
        {Object.keys(TOKENS.IncidentState).map((state) => {
          const chosen = search.state?.includes(state) ?? false;
          const rest = (search.state ?? []).filter((one) => one !== state);
          const next = chosen ? rest : [...rest, state];
          return (
            <button
              key={state}
              type="button"
              className={`chip ${chosen ? 'chosen' : ''}`}
              aria-pressed={chosen}
              onClick={() => void navigate({ search: { state: next.length ? next : undefined }, replace: true })}
            >
              <StateBadge kind="IncidentState" state={state} />
            </button>
          );
        })}
      </Group>
      <ListPart
        query={query}
        columns={COLUMNS}
        label="Incidents"
        idOf={(one) => one.id}
        empty={
          <Empty title="No incident">
            Whatever fails appears here, gathered by its cause. To be called, make a channel and a subscription:{' '}
            <code>signalbox subscription create</code>.
          </Empty>
        }
      />
    </Page>
  );
}
