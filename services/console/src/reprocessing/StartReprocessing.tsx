import { Button, Checkbox, Group, Modal, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { http } from '../api/client';
import { useMay } from '../session/me';
import { useAction } from '../ui/useAction';

export function StartReprocessing() {
  const [opened, { open, close }] = useDisclosure(false);
  const may = useMay();
  const { act, busy } = useAction();
  const navigate = useNavigate();
  const [path, setPath] = useState('');
  const [streams, setStreams] = useState('');
  const [from, setFrom] = useState('');
  const [to, setTo] = useState('');
  const [dry, setDry] = useState(true);
  const [reason, setReason] = useState('');
  if (!may('reprocessing.start')) return null;
  const submit = async () => {
    const body = {
      ...(path.startsWith('s3://') ? { s3_path: path } : { local_path: path }),
      ...(streams
        ? {
            stream_ids: streams
              .split(',')
              .map((one) => one.trim())
              .filter(Boolean),
          }
        : {}),
      ...(from ? { date_from: `${from}T00:00:00Z` } : {}),
      ...(to ? { date_to: `${to}T23:59:59Z` } : {}),
      dry_run: dry,
      reason,
    };
    let made = '';
    const ok = await act('Started', async () => {
      const answer = await http.POST('/api/admin/reprocessing/jobs', { body });
      made = answer.data?.id ?? '';
      return answer;
    });
    if (!ok) return;
    close();
    if (made) void navigate({ to: '/reprocessing/$id', params: { id: made } });
  };
  return (
    <>
      <Button size="xs" onClick={open}>
        Send again…
      </Button>
      <Modal opened={opened} onClose={close} title="Send files of events again">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void submit();
          }}
        >
          <Stack>
            <TextInput
              label="Folder or S3 path"
              required
              data-autofocus
              placeholder="s3://bucket/failover/"
              value={path}
              onChange={(event) => setPath(event.currentTarget.value)}
            />
            <TextInput
              label="Streams"
              description="Separated by commas; empty: all"
              value={streams}
              onChange={(event) => setStreams(event.currentTarget.value)}
            />
            <Group grow>
              <TextInput
                label="From"
                type="date"
                value={from}
                onChange={(event) => setFrom(event.currentTarget.value)}
              />
              <TextInput label="To" type="date" value={to} onChange={(event) => setTo(event.currentTarget.value)} />
            </Group>
            <Checkbox
              label="Only count: send nothing"
              checked={dry}
              onChange={(event) => setDry(event.currentTarget.checked)}
            />
            <TextInput
              label="Reason"
              value={reason}
              maxLength={1000}
              onChange={(event) => setReason(event.currentTarget.value)}
            />
            <Group justify="flex-end">
              <Button type="submit" loading={busy}>
                {dry ? 'Count' : 'Send again'}
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
