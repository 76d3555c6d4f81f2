import { Button, Group, Progress, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { $api, http, type Schemas } from '../api/client';
import { Answer } from '../ui/Answer';
import { DataTable } from '../ui/DataTable';
import { counted, shown } from '../ui/names';

type Operation = Schemas['BulkOperation'];
const POLL_MS = 1_000;

const many = (count = 0) => count.toLocaleString('en');
const failuresOf = ({ counts }: Operation) => (counts['refused'] ?? 0) + (counts['failed'] ?? 0);

/** How far a bulk operation is, what failed and why, and that once more. The server goes on without this page. */
export function BulkResult(props: {
  operation: Operation;
  retry: (ids: string[]) => Promise<boolean>;
  busy: boolean;
  close: () => void;
}) {
  const { id } = props.operation;
  const query = $api.useQuery(
    'get',
    '/api/v1/bulk-operations/{id}',
    { params: { path: { id } } },
    {
      initialData: props.operation,
      refetchInterval: ({ state }) => (state.data?.counts['pending'] ? POLL_MS : false),
    },
  );
  const operation = query.data ?? props.operation;
  const { done, pending, refused, failed } = operation.counts;
  const failures = failuresOf(operation);
  const part = (count = 0) => (100 * count) / Math.max(1, operation.total);
  return (
    <Stack gap="sm">
      <Text size="sm" role="status">
        {pending ? `${many(operation.total - pending)} of ${counted(operation.total, 'run')} answered` : 'Finished'}:{' '}
        {many(done)} done, {many(refused)} refused, {many(failed)} failed.
      </Text>
      <Progress.Root size="lg">
        <Progress.Section value={part(done)} color="teal" aria-label="done" />
        <Progress.Section value={part(failures)} color="red" aria-label="refused or failed" />
      </Progress.Root>
      <Text size="xs" c="dimmed">
        It goes on when this is closed: <code>signalbox bulk show {id}</code>
      </Text>
      <Answer query={query}>{() => failures > 0 && <Failures id={id} failures={failures} {...props} />}</Answer>
      <Group justify="flex-end">
        <Button variant="default" onClick={props.close}>
          Close
        </Button>
      </Group>
    </Stack>
  );
}

async function failedItems(id: string): Promise<Schemas['BulkItem'][]> {
  const items: Schemas['BulkItem'][] = [];
  let cursor: string | null | undefined;
  do {
    const query = { state: ['refused' as const, 'failed' as const], limit: 200, ...(cursor ? { cursor } : {}) };
    const path = { id };
    const { data, error } = await http.GET('/api/v1/bulk-operations/{id}/items', { params: { path, query } });
    if (error) throw error;
    items.push(...data.items);
    cursor = data.next_cursor;
  } while (cursor);
  return items;
}

function Failures(props: { id: string; failures: number; retry: (ids: string[]) => Promise<boolean>; busy: boolean }) {
  const { id, failures, retry, busy } = props;
  const query = useQuery({
    queryKey: ['get', '/api/v1/bulk-operations/{id}/items', { params: { path: { id } } }, failures],
    queryFn: () => failedItems(id),
    refetchInterval: false, // an answer does not change
  });
  return (
    <Answer query={query} lines={2}>
      {(items) => (
        <>
          <div style={{ maxHeight: 320, overflow: 'auto' }}>
            <DataTable
              label="What failed"
              rows={items}
              idOf={(item) => item.target}
              columns={[
                { header: 'Run', id: 'name', accessorFn: (item) => shown(item.name || item.target) },
                { header: 'Result', accessorKey: 'state' },
                { header: 'Why', accessorKey: 'answer', cell: ({ row }) => shown(row.original.answer) },
              ]}
            />
          </div>
          <Group>
            <Button
              size="xs"
              variant="default"
              loading={busy}
              onClick={() => void retry(items.map((item) => item.target.replace('plan:', '')))}
            >
              Try {counted(items.length, 'run')} again
            </Button>
          </Group>
        </>
      )}
    </Answer>
  );
}
