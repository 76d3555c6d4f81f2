import { Button, Group, Modal, Select } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useInfiniteQuery } from '@tanstack/react-query';
import { IconDownload, IconShieldCheck } from '@tabler/icons-react';
import { getRouteApi } from '@tanstack/react-router';
import { useState } from 'react';
import { http, wordsOf, type Schemas } from '../api/client';
import { Answer, Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { DataTable } from '../ui/DataTable';
import { FilterField } from '../ui/FilterField';
import { Json } from '../ui/Json';
import { Page } from '../ui/Page';
import { Time } from '../ui/Time';

const route = getRouteApi('/audit');
type Entry = Schemas['AuditAnswer'];
type Outcome = Entry['outcome'];

/** Who did what, when, why, and what was refused. */
export function Audit() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [shown, setShown] = useState<Entry>();
  const filters = {
    ...(search.actor ? { actor: search.actor } : {}),
    ...(search.action ? { action: search.action } : {}),
    ...(search.target ? { target: search.target } : {}),
    ...(search.outcome ? { outcome: search.outcome as Outcome } : {}),
  };
  const query = useInfiniteQuery({
    queryKey: ['get', '/api/v1/audit', filters],
    initialPageParam: '',
    queryFn: async ({ pageParam, signal }) => {
      const { data, error } = await http.GET('/api/v1/audit', {
        params: { query: { ...filters, limit: 100, ...(pageParam ? { cursor: pageParam } : {}) } as never },
        signal,
      });
      if (error) throw error;
      return data;
    },
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.items) ?? [];
  const set = (part: Partial<typeof search>) =>
    void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const field = (name: 'actor' | 'action' | 'target', label: string, placeholder: string) => (
    <FilterField
      label={label}
      placeholder={placeholder}
      w={180}
      value={search[name]}
      apply={(value) => set({ [name]: value })}
    />
  );
  return (
    <Page
      title="Audit"
      words="Every change and every refusal, chained so that none can be changed unseen"
      actions={
        <>
          <Verify />
          <Button
            component="a"
            size="xs"
            variant="default"
            href="/api/v1/audit/export"
            download="audit.jsonl"
            leftSection={<IconDownload size={14} />}
          >
            Export
          </Button>
          <CopyMenu cli="signalbox audit list" path="/api/v1/audit" />
        </>
      }
    >
      <Group mb="sm" gap="xs" align="flex-end">
        {field('actor', 'Who', 'user:ann')}
        {field('action', 'Action', 'plan_cancel')}
        {field('target', 'Target', 'engine:local')}
        <Select
          label="Outcome"
          w={160}
          clearable
          value={search.outcome ?? null}
          data={['done', 'refused', 'unauthenticated', 'failed']}
          onChange={(outcome) => set({ outcome: outcome ?? undefined })}
        />
      </Group>
      <Answer query={query}>
        {() =>
          rows.length ? (
            <>
              <DataTable
                label="Audit entries"
                rows={rows}
                idOf={(entry) => String(entry.seq)}
                columns={[
                  { header: 'When', accessorKey: 'at', cell: ({ row }) => <Time at={row.original.at} exact /> },
                  {
                    header: 'Who',
                    accessorKey: 'actor',
                    cell: ({ row }) => (
                      <span className="clip short" title={row.original.actor}>
                        {row.original.actor}
                      </span>
                    ),
                  },
                  { header: 'Action', accessorKey: 'action' },
                  {
                    header: 'Target',
                    accessorKey: 'target',
                    cell: ({ row }) => (
                      <span className="clip short" title={row.original.target}>
                        {row.original.target}
                      </span>
                    ),
                  },
                  { header: 'Outcome', accessorKey: 'outcome' },
                  {
                    header: 'Why',
                    id: 'reason',
                    meta: { wide: true },
                    accessorFn: (entry) => entry.reason || entry.detail || '–',
                    cell: ({ getValue }) => (
                      <span className="clip" title={getValue<string>()}>
                        {getValue<string>()}
                      </span>
                    ),
                  },
                  {
                    header: 'More',
                    id: 'more',
                    enableSorting: false,
                    cell: ({ row }) => (
                      <Button
                        size="compact-xs"
                        variant="default"
                        aria-label={`All of entry ${row.original.seq}`}
                        onClick={() => setShown(row.original)}
                      >{`#${row.original.seq}`}</Button>
                    ),
                  },
                ]}
              />
              {query.hasNextPage && (
                <Button
                  mt="sm"
                  variant="default"
                  loading={query.isFetchingNextPage}
                  onClick={() => void query.fetchNextPage()}
                >
                  Older entries
                </Button>
              )}
            </>
          ) : (
            <Empty title="No entry matches">Take a filter away, or look further back.</Empty>
          )
        }
      </Answer>
      <Modal
        opened={shown !== undefined}
        onClose={() => setShown(undefined)}
        title={`Entry ${shown?.seq ?? ''}`}
        size="xl"
      >
        <Json value={shown} label="Entry" />
      </Modal>
    </Page>
  );
}

/** Check the whole trail: each entry is chained to the one before. */
function Verify() {
  const [busy, setBusy] = useState(false);
  const check = async () => {
    setBusy(true);
    try {
      const { data, error } = await http.GET('/api/v1/audit/verify');
      if (error) throw error;
      notifications.show({
        title: data.good ? 'The trail is whole' : 'The trail is broken',
        message: `${data.entries.toLocaleString('en')} entries: ${data.detail}`,
        color: data.good ? 'teal' : 'red',
        autoClose: data.good ? 6000 : false,
      });
    } catch (error) {
      notifications.show({ message: wordsOf(error).title, color: 'red' });
    }
    setBusy(false);
  };
  return (
    <Button
      size="xs"
      variant="default"
      loading={busy}
      onClick={() => void check()}
      leftSection={<IconShieldCheck size={14} />}
    >
      Verify
    </Button>
  );
}
