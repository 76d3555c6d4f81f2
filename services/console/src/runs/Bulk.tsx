import { Alert, Button, Group, Modal, Radio, Stack, Text, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useEffect, useRef, useState } from 'react';
import { http, wordsOf, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { StateBadge } from '../ui/StateBadge';
import { DataTable } from '../ui/DataTable';
import { counted, shown } from '../ui/names';
import { useAction } from '../ui/useAction';
import { ACTIONS, matching, MAX_RUNS, type Action } from './bulkActions';
import { BulkResult } from './BulkResult';
import type { Filters } from './filters';

/** How many are listed in the preview: all of them are counted and taken. */
const LISTED = 200;

/** One action on all runs of the filter: first the list of what it would touch, then a result for each. */
export function Bulk({ filters }: { filters: Filters }) {
  const [opened, { open, close }] = useDisclosure(false);
  const may = useMay();
  if (!may('plan.control')) return null;
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

function BulkForm({ filters, close }: { filters: Filters; close: () => void }) {
  const may = useMay();
  const { act, busy } = useAction();
  const [action, setAction] = useState<Action>('pause');
  const [reason, setReason] = useState('');
  const [operation, setOperation] = useState<Schemas['BulkOperation']>();
  const { found, read, reading, problem, preview, forget } = usePreview(filters);
  const request = (ids: string[]) =>
    act('Requested', async () => {
      const answer = await http.POST('/api/v1/plans/bulk', { body: { action, ids, reason } });
      if (answer.data) setOperation(answer.data);
      return answer;
    });
  if (operation)
    return <BulkResult key={operation.id} operation={operation} retry={request} busy={busy} close={close} />;
  const actions = (Object.keys(ACTIONS) as Action[]).filter((name) => name !== 'retry' || may('plan.start'));
  return (
    <Stack gap="sm">
      {problem && <Alert color="red">{problem}</Alert>}
      <Radio.Group
        label="What to do"
        value={action}
        onChange={(value) => {
          setAction(value as Action);
          forget();
        }}
      >
        <Group mt={4}>
          {actions.map((name) => (
            <Radio key={name} value={name} label={ACTIONS[name].label} />
          ))}
        </Group>
      </Radio.Group>
      <TextInput
        label="Reason"
        value={reason}
        maxLength={1000}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      {reading && (
        <Text size="sm" role="status">
          Reading the runs of the filter: {counted(read, 'run')} so far.
        </Text>
      )}
      {found && <Found action={action} {...found} />}
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Close
        </Button>
        {found?.plans.length ? (
          <Button
            loading={busy}
            color={action === 'cancel' ? 'red' : undefined}
            onClick={() => void request(found.plans.map((plan) => plan.id))}
          >
            {ACTIONS[action].label} {counted(found.plans.length, 'run')}
          </Button>
        ) : (
          <Button loading={reading} onClick={() => void preview(action)}>
            Preview
          </Button>
        )}
      </Group>
    </Stack>
  );
}

type FoundRuns = { plans: Schemas['Plan'][]; more: boolean };

/** The runs that an action would touch; reading them ends with the dialog. */
function usePreview(filters: Filters) {
  const [found, setFound] = useState<FoundRuns>();
  const [read, setRead] = useState(0);
  const [reading, setReading] = useState(false);
  const [problem, setProblem] = useState('');
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  const forget = () => {
    stop.current.abort();
    setFound(undefined);
    setReading(false);
  };
  const preview = async (action: Action) => {
    const { signal } = (stop.current = new AbortController());
    setReading(true);
    setRead(0);
    setProblem('');
    try {
      const runs = await matching(filters, action, setRead, signal);
      if (!signal.aborted) setFound(runs);
    } catch (error) {
      if (!signal.aborted) setProblem(wordsOf(error).title);
    }
    if (!signal.aborted) setReading(false);
  };
  return { found, read, reading, problem, preview, forget };
}

function Found({ action, plans, more }: FoundRuns & { action: Action }) {
  return (
    <>
      <Text size="sm" role="status">
        {plans.length
          ? `${ACTIONS[action].label} would touch ${counted(plans.length, 'run')}${more ? `; the filter has more, and one request takes ${MAX_RUNS.toLocaleString('en')}` : ''}.`
          : 'No run of this filter can take that now.'}
      </Text>
      {plans.length > 0 && (
        <div style={{ maxHeight: 320, overflow: 'auto' }}>
          <DataTable
            label="Runs it touches"
            rows={plans.slice(0, LISTED)}
            idOf={(plan) => plan.id}
            columns={[
              { header: 'Run', id: 'name', accessorFn: (plan) => shown(plan.name) },
              {
                header: 'State',
                id: 'state',
                cell: ({ row }) => <StateBadge kind="PlanState" state={row.original.state} />,
              },
            ]}
          />
          {plans.length > LISTED && <Text size="sm">and {counted(plans.length - LISTED, 'run')} more</Text>}
        </div>
      )}
    </>
  );
}
