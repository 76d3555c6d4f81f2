import { Group } from '@mantine/core';
import { getRouteApi, Link } from '@tanstack/react-router';
import { $api } from '../api/client';
import { Answer, Empty } from '../ui/Answer';
import { DataTable } from '../ui/DataTable';
import { FilterField } from '../ui/FilterField';
import { ListPart } from '../ui/ListPart';
import { grouped } from '../ui/groups';
import { Page, Part } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';
import { useList } from '../ui/useList';
import { CopyMenu } from '../ui/Copy';

const route = getRouteApi('/events');

/** What came in, what it matched, and why it did not. */
export function Events() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const query = useList('/api/v1/events', {
    limit: 100,
    ...(search.source ? { source: search.source } : {}),
    ...(search.trigger ? { trigger: search.trigger } : {}),
  });
  const set = (part: Partial<typeof search>) =>
    void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  return (
    <Page
      title="Events"
      words="Events from outside, and what each trigger made of them"
      actions={<CopyMenu cli="signalbox event list" path="/api/v1/events" json={query.data} />}
    >
      <Group mb="sm" gap="xs">
        <FilterField label="Source" data-search w={180} value={search.source} apply={(source) => set({ source })} />
        <FilterField label="Trigger" w={180} value={search.trigger} apply={(trigger) => set({ trigger })} />
      </Group>
      <Sources />
      <ListPart
        query={query}
        label="Events"
        idOf={(one) => `${one.source} ${one.event_id} ${one.trigger_id}`}
        empty={
          <Empty title="No event yet">
            Send one: <code>signalbox event send SOURCE --file event.json</code>, or publish CloudEvents to the topic of
            triggers.
          </Empty>
        }
        columns={[
          { header: 'When', accessorKey: 'at', cell: ({ row }) => <Time at={row.original.at} /> },
          { header: 'Source', accessorKey: 'source' },
          { header: 'Type', accessorKey: 'event_type' },
          {
            header: 'Id',
            accessorKey: 'event_id',
            cell: ({ row }) => <span className="clip short">{row.original.event_id}</span>,
          },
          { header: 'Trigger', accessorKey: 'trigger_id' },
          {
            header: 'Outcome',
            accessorKey: 'outcome',
            cell: ({ row: { original: one } }) =>
              one.plan_id ? (
                <Link to="/runs/$id" params={{ id: one.plan_id }}>
                  {one.plan_state ? <StateBadge kind="PlanState" state={one.plan_state} /> : words(one.outcome)}
                </Link>
              ) : (
                words(one.outcome)
              ),
          },
          { header: 'Why', accessorKey: 'why' },
        ]}
      />
    </Page>
  );
}

const words = (outcome: string) => outcome.replaceAll('_', ' ');

function Sources() {
  const query = $api.useQuery('get', '/api/v1/events/hours', { params: { query: { hours: 24 } } });
  return (
    <Part title="Sources, last 24 hours">
      <Answer query={query} lines={2}>
        {({ sources }) => {
          const bySource = [...grouped(sources, (one) => one.source)].map(([source, hours]) => ({
            source,
            received: hours.reduce((sum, one) => sum + one.received, 0),
            unclaimed: hours.reduce((sum, one) => sum + one.unclaimed, 0),
            last:
              hours
                .map((one) => one.last_event_at ?? '')
                .sort()
                .at(-1) || null,
          }));
          return bySource.length ? (
            <DataTable
              label="Sources"
              rows={bySource}
              idOf={(one) => one.source}
              columns={[
                { header: 'Source', accessorKey: 'source' },
                { header: 'Received', accessorKey: 'received' },
                { header: 'No trigger wanted', accessorKey: 'unclaimed' },
                { header: 'Last', id: 'last', cell: ({ row }) => <Time at={row.original.last} /> },
              ]}
            />
          ) : (
            <Empty title="Nothing came in">
              Other systems send events; <code>signalbox event send --help</code> shows how to send one.
            </Empty>
          );
        }}
      </Answer>
    </Part>
  );
}
