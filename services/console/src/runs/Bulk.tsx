import { Alert, Button, Group, Modal, Radio, Stack, Text, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { http, wordsOf, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { StateBadge } from '../ui/StateBadge';
import { DataTable } from '../ui/DataTable';
import { counted, shown } from '../ui/names';
import { ACTIONS, fits, type Action } from './bulkActions';
import type { Filters } from './filters';

type Plan = Schemas['Plan'];
type Line = { plan: Plan; outcome: string; ok?: boolean };
const AT_MOST = 500;

/** One action on all runs of the filter: first the list of what it would touch, then a result for each. */
export function Bulk({ filters }: { filters: Filters }) {
  const [opened, { open, close }] = useDisclosure(false);
  const may = useMay();
  if (!may('plan.control') && !may('plan.start')) return null;
  return (
    <>
      <Button variant="default" size="xs" onClick={open}>
        Act on these…
      </Button>
      <Modal opened={opened} onClose={close} title="Act on all runs of this filter" size="xl">
        {opened && <BulkForm filters={filters} close={close} />}
      </Modal>
    </>
  );
}

async function matching(filters: Filters, action: Action): Promise<{ plans: Plan[]; more: boolean }> {
  const plans: Plan[] = [];
  let cursor: string | undefined;
  do {
    const query = { ...filters, limit: 200, ...(cursor ? { cursor } : {}) };
    const { data, error } = await http.GET('/api/v1/plans', { params: { query } });
    if (error) throw error;
    plans.push(...data.items.filter((plan) => fits(action, plan.state)));
    cursor = data.next_cursor ?? undefined;
  } while (cursor && plans.length < AT_MOST);
  return { plans: plans.slice(0, AT_MOST), more: cursor !== undefined || plans.length > AT_MOST };
}

function BulkForm({ filters, close }: { filters: Filters; close: () => void }) {
  const client = useQueryClient();
  const [action, setAction] = useState<Action>('pause');
  const [reason, setReason] = useState('');
  const [lines, setLines] = useState<Line[]>();
  const [more, setMore] = useState(false);
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const [problem, setProblem] = useState('');
  const closed = useRef(false);
  useEffect(() => {
    closed.current = false;
    return () => {
      closed.current = true;
    };
  }, []);
  const preview = async () => {
    setBusy(true);
    setProblem('');
    try {
      const found = await matching(filters, action);
      setLines(found.plans.map((plan) => ({ plan, outcome: '' })));
      setMore(found.more);
    } catch (error) {
      setProblem(wordsOf(error).title);
    }
    setBusy(false);
  };
  const run = async () => {
    setBusy(true);
    for (const line of lines ?? []) {
      if (closed.current) break; // closing the dialog stops the rest
      const outcome = await ACTIONS[action].call(line.plan.id, reason).then(
        ({ error }) => (error ? { ok: false, outcome: wordsOf(error).detail } : { ok: true, outcome: 'requested' }),
        (error: unknown) => ({ ok: false, outcome: wordsOf(error).title }),
      );
      setLines((old) => old?.map((one) => (one.plan.id === line.plan.id ? { ...one, ...outcome } : one)));
    }
    setBusy(false);
    setDone(true);
    void client.invalidateQueries();
  };
  return (
    <Stack gap="sm">
      {problem && <Alert color="red">{problem}</Alert>}
      <Radio.Group
        label="What to do"
        value={action}
        onChange={(value) => {
          setAction(value as Action);
          setLines(undefined);
        }}
      >
        <Group mt={4}>
          {Object.entries(ACTIONS).map(([name, one]) => (
            <Radio key={name} value={name} label={one.label} />
          ))}
        </Group>
      </Radio.Group>
      <TextInput
        label="Reason"
        value={reason}
        maxLength={1000}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      {lines && (
        <>
          <Text size="sm" role="status">
            {lines.length
              ? `${ACTIONS[action].label} would touch ${counted(lines.length, 'run')}${more ? `; only the first ${AT_MOST} are taken at once` : ''}.`
              : 'No run of this filter can take that now.'}
          </Text>
          {lines.length > 0 && (
            <div style={{ maxHeight: 320, overflow: 'auto' }}>
              <DataTable
                label="Runs it touches"
                rows={lines}
                idOf={(line) => line.plan.id}
                columns={[
                  { header: 'Run', id: 'name', accessorFn: (line) => shown(line.plan.name) },
                  {
                    header: 'State',
                    id: 'state',
                    cell: ({ row }) => <StateBadge kind="PlanState" state={row.original.plan.state} />,
                  },
                  { header: 'Result', id: 'outcome', accessorFn: (line) => line.outcome },
                ]}
              />
            </div>
          )}
        </>
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          {busy && lines?.length ? 'Stop' : 'Close'}
        </Button>
        {lines?.length && !done ? (
          <Button loading={busy} color={action === 'cancel' ? 'red' : undefined} onClick={() => void run()}>
            {ACTIONS[action].label} {counted(lines.length, 'run')}
          </Button>
        ) : (
          !done && (
            <Button loading={busy} onClick={() => void preview()}>
              Preview
            </Button>
          )
        )}
      </Group>
    </Stack>
  );
}
