import { Button, Group, Modal, Select, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useNavigate } from '@tanstack/react-router';
import { IconPlayerPlay } from '@tabler/icons-react';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { useAction } from '../ui/useAction';
import { textOf, valueOf } from './params';

type Props = { kind: 'pipeline' | 'job'; id: string; name: string; params: { [name: string]: unknown } };

/** Run with parameters: a field for each, with its default, choices and description. */
export function StartForm({ kind, id, name, params }: Props) {
  const [opened, { open, close }] = useDisclosure(false);
  const may = useMay();
  if (!may('plan.start')) return null;
  return (
    <>
      <Button
        size="compact-sm"
        variant="light"
        onClick={open}
        leftSection={<IconPlayerPlay size={13} />}
        aria-label={`Run ${name}`}
      >
        Run
      </Button>
      <Modal opened={opened} onClose={close} title={`Run ${name}`}>
        {opened && <Fields kind={kind} id={id} params={params as Record<string, Schemas['Param']>} close={close} />}
      </Modal>
    </>
  );
}

function Fields({
  kind,
  id,
  params,
  close,
}: {
  kind: Props['kind'];
  id: string;
  params: Record<string, Schemas['Param']>;
  close: () => void;
}) {
  const { act, busy } = useAction();
  const navigate = useNavigate();
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(Object.entries(params).map(([name, param]) => [name, textOf(param.default)])),
  );
  const [reason, setReason] = useState('');
  const [eventDate, setEventDate] = useState('');
  const read = Object.entries(params).map(([name, param]) => [name, valueOf(param, texts[name] ?? '')] as const);
  const wrong = Object.fromEntries(read.map(([name, { wrong: words }]) => [name, words]));
  const submit = async () => {
    const values = Object.fromEntries(
      read.flatMap(([name, { value }]) => (value === undefined ? [] : [[name, value]])),
    ) as Record<string, string>;
    const body = { params: values, reason, ...(eventDate ? { event_date: eventDate } : {}) };
    const path = { params: { path: { id } } };
    let made = '';
    const ok = await act('Started', async () => {
      const answer =
        kind === 'pipeline'
          ? await http.POST('/api/v1/pipelines/{id}/run', { ...path, body })
          : await http.POST('/api/v1/jobs/{id}/start', { ...path, body });
      made = answer.data?.id ?? '';
      return answer;
    });
    if (!ok) return;
    close();
    if (made) void navigate({ to: '/runs/$id', params: { id: made } });
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Stack gap="sm">
        {Object.entries(params).map(([name, param]) => {
          const set = (value: string) => setTexts((old) => ({ ...old, [name]: value }));
          const shared = {
            label: name,
            description: param.description || undefined,
            required: param.required,
            error: texts[name] ? wrong[name] : undefined,
            placeholder: textOf(param.default) || undefined, // an empty field means the default
          };
          const choices = param.choices?.map(textOf) ?? (param.type === 'boolean' ? ['true', 'false'] : undefined);
          return choices ? (
            <Select
              key={name}
              {...shared}
              data={choices}
              value={texts[name] ?? ''}
              onChange={(value) => set(value ?? '')}
            />
          ) : (
            <TextInput
              key={name}
              {...shared}
              type={param.type === 'date' ? 'date' : 'text'}
              value={texts[name] ?? ''}
              onChange={(event) => set(event.currentTarget.value)}
            />
          );
        })}
        <TextInput
          label="Event date"
          description="Empty: yesterday"
          type="date"
          value={eventDate}
          onChange={(event) => setEventDate(event.currentTarget.value)}
        />
        <TextInput
          label="Reason"
          value={reason}
          maxLength={1000}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            Not now
          </Button>
          <Button type="submit" loading={busy} disabled={Object.values(wrong).some(Boolean)}>
            Run
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
