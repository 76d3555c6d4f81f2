import { Button, Checkbox, Group, Modal, Stack, TagsInput, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { http } from '../api/client';
import { useMay } from '../session/me';
import { useAction } from '../ui/useAction';
import { bodyOf, FIRST, wrongWith, type Draft } from './draft';
import { MoreFields } from './MoreFields';

export function StartReprocessing() {
  const [opened, { open, close }] = useDisclosure(false);
  const may = useMay();
  const { act, busy, errorAt } = useAction();
  const navigate = useNavigate();
  const [draft, setDraft] = useState(FIRST);
  const [tried, setTried] = useState(false);
  if (!may('reprocessing.start')) return null;
  const set = (part: Partial<Draft>) => setDraft((old) => ({ ...old, ...part }));
  const wrong = wrongWith(draft);
  const error = (field: keyof Draft, path: string) => (tried ? wrong[field] : undefined) ?? errorAt(path);
  const submit = async () => {
    setTried(true);
    if (Object.keys(wrong).length) return;
    let made = '';
    const ok = await act('Started', async () => {
      const answer = await http.POST('/api/admin/reprocessing/jobs', { body: bodyOf(draft) });
      made = answer.data?.id ?? '';
      return answer;
    });
    if (!ok) return;
    close();
    if (made) void navigate({ to: '/reprocessing/$id', params: { id: made } });
  };
  const ids = (field: 'streams' | 'connections', label: string, path: string) => (
    <TagsInput
      label={label}
      description="Empty: all"
      splitChars={[',', ' ', '\n']}
      value={draft[field]}
      error={error(field, path)}
      onChange={(typed) => set({ [field]: typed })}
    />
  );
  const day = (field: 'from' | 'to', label: string, path: string) => (
    <TextInput
      label={label}
      description="UTC"
      type="date"
      value={draft[field]}
      error={error(field, path)}
      onChange={(event) => set({ [field]: event.currentTarget.value })}
    />
  );
  return (
    <>
      <Button size="xs" onClick={open}>
        Send again…
      </Button>
      <Modal opened={opened} onClose={close} title="Send files of events again" size="lg">
        <form
          noValidate
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
              value={draft.path}
              error={error('path', 's3_path') ?? error('path', 'local_path')}
              onChange={(event) => set({ path: event.currentTarget.value })}
            />
            <Group grow align="flex-start">
              {ids('streams', 'Streams', 'stream_ids')}
              {ids('connections', 'Connections', 'connection_ids')}
            </Group>
            <Group grow align="flex-start">
              {day('from', 'From', 'date_from')}
              {day('to', 'To', 'date_to')}
            </Group>
            <MoreFields draft={draft} set={set} error={error} />
            <Checkbox
              label="Only count: send nothing"
              checked={draft.dry}
              onChange={(event) => set({ dry: event.currentTarget.checked })}
            />
            <TextInput
              label="Reason"
              value={draft.reason}
              error={error('reason', 'reason')}
              maxLength={1000}
              onChange={(event) => set({ reason: event.currentTarget.value })}
            />
            <Group justify="flex-end">
              <Button type="submit" loading={busy}>
                {draft.dry ? 'Count' : 'Send again'}
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
