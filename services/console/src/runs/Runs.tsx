import { Button, Group, Select } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { $api, http } from '../api/client';
import { PLAN_STATES } from '../state/tokens';
import { Answer, Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { FilterField } from '../ui/FilterField';
import { Page } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Bulk } from './Bulk';
import { filtersOf, commandOf, pathOf, type RunSearch } from './filters';
import { RunsTable } from './RunsTable';

const route = getRouteApi('/runs');
const PERIODS = [
  { value: '', label: 'any time' },
  { value: '1', label: 'last 24 hours' },
  { value: '7', label: 'last 7 days' },
  { value: '30', label: 'last 30 days' },
];

export function Runs() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const set = (part: Partial<RunSearch>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const filters = filtersOf(search);
  const unstated = filtersOf({ ...search, state: undefined });
  const counts = $api.useQuery('get', '/api/v1/plans/counts', { params: { query: unstated } });
  const runs = useInfiniteQuery({
    queryKey: ['get', '/api/v1/plans', filters],
    initialPageParam: '',
    queryFn: async ({ pageParam, signal }) => {
      const query = { ...filters, limit: 50, ...(pageParam ? { cursor: pageParam } : {}) };
      const { data, error } = await http.GET('/api/v1/plans', { params: { query }, signal });
      if (error) throw error;
      return data;
    },
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const rows = runs.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Page
      title="Runs"
      words={search.ended ? 'Plans that ended, the last to end first' : 'All plans, newest first'}
      actions={
        <>
          <Bulk filters={filters} />
          <CopyMenu cli={commandOf(search)} path={pathOf(filters)} />
        </>
      }
    >
      <Group gap="xs" mb="sm" align="flex-end">
        <FilterField
          data-search
          label="Name"
          placeholder="part of the name"
          atOnce
          value={search.q}
          apply={(q) => set({ q })}
          w={220}
        />
        <Select
          label="Requested"
          w={150}
          value={search.days ?? ''}
          data={PERIODS}
          onChange={(days) => set({ days: days || undefined })}
        />
        <Select
          label="Ended"
          w={150}
          value={search.ended ?? ''}
          data={PERIODS}
          onChange={(ended) => set({ ended: ended || undefined })}
        />
        <FilterField label="By" placeholder="user:ann" w={140} value={search.actor} apply={(actor) => set({ actor })} />
        <FilterField
          label="Label"
          placeholder="key:value"
          w={140}
          value={search.label}
          apply={(label) => set({ label })}
        />
        {Object.keys(search).length > 0 && (
          <Button variant="subtle" onClick={() => void navigate({ search: {} })}>
            All runs
          </Button>
        )}
      </Group>
      <Group gap={6} mb="sm" role="group" aria-label="States, with counts">
        {PLAN_STATES.filter((state) => counts.data?.counts[state] || search.state?.includes(state)).map((state) => {
          const chosen = search.state?.includes(state) ?? false;
          const others = (search.state ?? []).filter((one) => one !== state);
          const next = chosen ? others : [...others, state];
          return (
            <button
              key={state}
              type="button"
              className={`chip ${chosen ? 'chosen' : ''}`}
              aria-pressed={chosen}
              onClick={() => set({ state: next.length ? next : undefined })}
            >
              <StateBadge kind="PlanState" state={state} count={counts.data?.counts[state] ?? 0} />
            </button>
          );
        })}
      </Group>
      <Answer query={runs} lines={10}>
        {() =>
          rows.length ? (
            <>
              <RunsTable rows={rows} label="Runs" />
              {runs.hasNextPage && (
                <Button
                  mt="sm"
                  variant="default"
                  loading={runs.isFetchingNextPage}
                  onClick={() => void runs.fetchNextPage()}
                >
                  Older runs
                </Button>
              )}
            </>
          ) : (
            <NoRuns filtered={Object.keys(search).length > 0} />
          )
        }
      </Answer>
    </Page>
  );
}

function NoRuns({ filtered }: { filtered: boolean }) {
  if (filtered) return <Empty title="No run matches">Take a filter away, or look further back.</Empty>;
  return (
    <Empty title="Nothing ran yet">
      Run a{' '}
      <Link className="link" to="/pipelines">
        pipeline
      </Link>
      , or type <code>signalbox job start NAME</code>. It appears here at once.
    </Empty>
  );
}
