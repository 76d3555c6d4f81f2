import { Button, Text } from '@mantine/core';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { textOf } from '../pipelines/params';
import { Empty, Failed } from '../ui/Answer';
import { DataTable } from '../ui/DataTable';
import { Time } from '../ui/Time';

/** The newest events judged by the trigger as it is now. Nothing is started. */
export function DryRun({ id }: { id: string }) {
  const [answer, setAnswer] = useState<Schemas['TriggerDryRunAnswer']>();
  const [failed, setFailed] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const look = async () => {
    setBusy(true);
    setFailed(undefined);
    try {
      const { data, error } = await http.POST('/api/v1/triggers/dry-run', { body: { id, events: 200 } });
      if (error) throw error;
      setAnswer(data);
    } catch (error) {
      setFailed(error);
    }
    setBusy(false);
  };
  return (
    <>
      <Text size="sm" mb="xs">
        Judges the newest 200 events by the rule as it is now. Nothing starts.
      </Text>
      <Button size="xs" loading={busy} onClick={() => void look()} mb="sm">
        Try it
      </Button>
      {failed ? <Failed error={failed} /> : null}
      {answer &&
        (answer.events.length ? (
          <DataTable
            label="Judged events"
            rows={answer.events}
            idOf={(one) => `${one.source} ${one.event_id}`}
            columns={[
              { header: 'Event', accessorKey: 'event_id' },
              { header: 'Type', accessorKey: 'event_type' },
              { header: 'Source', accessorKey: 'source' },
              { header: 'Came', accessorKey: 'time', cell: ({ row }) => <Time at={row.original.time} /> },
              { header: 'Outcome', id: 'outcome', accessorFn: (one) => one.outcome.replaceAll('_', ' ') },
              { header: 'Why', id: 'why', accessorFn: (one) => one.why || '–' },
              { header: 'Parameters', id: 'params', accessorFn: (one) => textOf(one.params) || '–' },
            ]}
          />
        ) : (
          <Empty title="No event has come in yet">
            Send one: <code>signalbox event send SOURCE --type file.created</code>
          </Empty>
        ))}
    </>
  );
}
