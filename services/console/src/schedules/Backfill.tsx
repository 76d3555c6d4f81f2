import { Alert, Button, Group, Modal, Select, Stack, Text, TextInput, SimpleGrid } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { http, wordsOf, type Schemas } from '../api/client';
import { DataTable } from '../ui/DataTable';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';

type Only = 'missing' | 'failed' | 'all';
/** From the beginning of the first day to the end of the last. */
const rangeOf = (from: string, until: string) => ({ from_at: `${from}T00:00:00Z`, until_at: `${until}T23:59:59Z` });

/** Ticks of the past, started now: first which would fire and which not. */
export function Backfill({ schedule }: { schedule: Schemas['Schedule'] }) {
  const [opened, { open, close }] = useDisclosure(false);
  const { act, busy } = useAction();
  const [from, setFrom] = useState('');
  const [until, setUntil] = useState('');
  const [only, setOnly] = useState<Only>('missing');
  const [preview, setPreview] = useState<Schemas['BackfillPreview']>();
  const [problem, setProblem] = useState('');
  const [looks, setLooks] = useState(false);
  const path = { params: { path: { id: schedule.id } } };
  const body = { ...rangeOf(from, until), only };
  const look = async () => {
    setProblem('');
    setLooks(true);
    try {
      const sent = { ...path, body: { ...body, preview: true } };
      const { data, error } = await http.POST('/api/v1/schedules/{id}/backfill', sent);
      if (error) throw error as unknown;
      setPreview(data as Schemas['BackfillPreview']);
    } catch (error) {
      const { detail, fields } = wordsOf(error);
      setProblem([detail, ...fields].join(' · '));
    }
    setLooks(false);
  };
  const start = async () => {
    const ok = await act('The backfill has begun', () =>
      http.POST('/api/v1/schedules/{id}/backfill', { ...path, body }),
    );
    if (ok) close();
  };
  return (
    <>
      <Button size="xs" variant="default" onClick={open}>
        Backfill…
      </Button>
      <Modal opened={opened} onClose={close} title={`Backfill ${schedule.name || schedule.id}`} size="lg">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void (preview ? start() : look());
          }}
        >
          <Stack gap="sm">
            {problem && (
              <Alert color="red" role="alert">
                {problem}
              </Alert>
            )}
            <SimpleGrid cols={{ base: 1, xs: 3 }}>
              <TextInput
                type="date"
                required
                label="From (UTC)"
                value={from}
                onChange={(event) => {
                  setFrom(event.currentTarget.value);
                  setPreview(undefined);
                }}
              />
              <TextInput
                type="date"
                required
                label="Until (UTC)"
                value={until}
                onChange={(event) => {
                  setUntil(event.currentTarget.value);
                  setPreview(undefined);
                }}
              />
              <Select
                label="Which ticks"
                allowDeselect={false}
                value={only}
                onChange={(value) => {
                  setOnly(value as Only);
                  setPreview(undefined);
                }}
                data={[
                  { value: 'missing', label: 'never fired' },
                  { value: 'failed', label: 'never fired or failed' },
                  { value: 'all', label: 'all' },
                ]}
              />
            </SimpleGrid>
            {preview && (
              <>
                <Text size="sm" role="status">
                  {preview.fires.toLocaleString('en')} would fire; {preview.fired_before.toLocaleString('en')} fired
                  before.
                </Text>
                <div style={{ maxHeight: 260, overflow: 'auto' }}>
                  <DataTable
                    label="Ticks"
                    rows={preview.ticks}
                    idOf={(tick) => tick.due_at}
                    columns={[
                      {
                        header: 'Due',
                        accessorKey: 'due_at',
                        cell: ({ row }) => <Time at={row.original.due_at} exact />,
                      },
                      { header: 'Event date', accessorKey: 'event_date' },
                      { header: 'Decision', accessorKey: 'decision' },
                    ]}
                  />
                </div>
              </>
            )}
            <Group justify="flex-end">
              <Button variant="default" onClick={close}>
                Close
              </Button>
              <Button type="submit" loading={busy || looks} disabled={preview?.fires === 0}>
                {preview ? `Start ${preview.fires.toLocaleString('en')}` : 'Preview'}
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
