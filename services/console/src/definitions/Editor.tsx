import { Alert, Button, Group, JsonInput, Loader, Modal, Select, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { IconPencil, IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { wordsOf } from '../api/client';
import { useMay } from '../session/me';
import { Failed } from '../ui/Answer';
import { Conflict } from './Conflict';
import { create, load, save, TEMPLATES, type Body, type DefinitionKind } from './kinds';

type Draft = { base: Body; etag: string; text: string };
const pretty = (body: unknown) => JSON.stringify(body, null, 2);

/** Change a definition as JSON. What is typed stays until it is saved, also when the form is closed or refused. */
export function EditDefinition({ kind, id }: { kind: DefinitionKind; id: string }) {
  const [opened, { open, close }] = useDisclosure(false);
  const [draft, setDraft] = useState<Draft>();
  const [failed, setFailed] = useState<unknown>();
  const may = useMay();
  if (!may(`${kind}.write`)) return null;
  const read = () => {
    setFailed(undefined);
    load(kind, id).then(({ body, etag }) => setDraft({ base: body, etag, text: pretty(body) }), setFailed);
  };
  const start = () => {
    open();
    if (!draft || draft.text === pretty(draft.base)) read();
  };
  return (
    <>
      <Button size="xs" variant="default" leftSection={<IconPencil size={14} />} onClick={start}>
        Edit
      </Button>
      <Modal opened={opened} onClose={close} title={`Edit ${kind} ${id}`} size="xl">
        {failed ? <Failed error={failed} again={read} /> : null}
        {!draft && !failed ? <Loader aria-label="Loading" /> : null}
        {draft && (
          <Form
            draft={draft}
            change={setDraft}
            send={(body) => save(kind, id, body, draft.etag)}
            reload={() => load(kind, id)}
            done={() => {
              setDraft(undefined);
              close();
            }}
            discard={read}
          />
        )}
      </Modal>
    </>
  );
}

/** A new definition, from an example of its kind. */
export function NewDefinition({ kind, label, done }: { kind: DefinitionKind; label: string; done: (id: string) => void }) {
  const names = Object.keys(TEMPLATES[kind]);
  const first = TEMPLATES[kind][names[0]!]!;
  const [opened, { open, close }] = useDisclosure(false);
  const [name, setName] = useState(names[0]!);
  const [draft, setDraft] = useState<Draft>({ base: first, etag: '', text: pretty(first) });
  const may = useMay();
  if (!may(`${kind}.write`)) return null;
  const choose = (next: string) => {
    const body = TEMPLATES[kind][next]!;
    setName(next);
    setDraft({ base: body, etag: '', text: pretty(body) });
  };
  return (
    <>
      <Button size="xs" leftSection={<IconPlus size={14} />} onClick={open}>
        {label}
      </Button>
      <Modal opened={opened} onClose={close} title={label} size="xl">
        {names.length > 1 && (
          <Select label="Kind" allowDeselect={false} w={200} mb="sm" data={names} value={name} onChange={(next) => next && choose(next)} />
        )}
        <Form
          draft={draft}
          change={setDraft}
          send={(body) => create(kind, body)}
          done={(body) => {
            choose(name);
            close();
            if (typeof body.id === 'string') done(body.id);
          }}
        />
      </Modal>
    </>
  );
} // prettier-ignore

type FormProps = {
  draft: Draft;
  change: (draft: Draft) => void;
  send: (body: Body) => Promise<{ data?: unknown; error?: unknown; response: Response }>;
  reload?: () => Promise<{ body: Body; etag: string }>;
  done: (saved: Body) => void;
  discard?: () => void;
};

function Form({ draft, change, send, reload, done, discard }: FormProps) {
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<unknown>();
  const [theirs, setTheirs] = useState<{ body: Body; etag: string }>();
  const mine = parsed(draft.text);
  const submit = async () => {
    if (!mine) return;
    setBusy(true);
    setRefused(undefined);
    try {
      const { data, error, response } = await send(mine);
      if (response.status === 412 && reload) setTheirs(await reload());
      else if (error) setRefused(error);
      else {
        notifications.show({ message: 'Saved', color: 'teal', autoClose: 4000 });
        void client.invalidateQueries();
        done(data as Body);
      }
    } catch (error) {
      setRefused(error);
    }
    setBusy(false);
  };
  const settle = (base: { body: Body; etag: string }, body: unknown) => {
    change({ base: base.body, etag: base.etag, text: pretty(body) });
    setTheirs(undefined);
  };
  const words = refused ? wordsOf(refused) : undefined;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Stack gap="sm">
        {words && (
          <Alert color="red" title={words.title} role="alert">
            {words.detail}
            {words.fields.map((field) => (
              <Text size="sm" key={field} className="wrap">
                {field}
              </Text>
            ))}
          </Alert>
        )}
        {theirs && mine && <Conflict base={draft.base} theirs={theirs.body} mine={mine} choose={(body) => settle(theirs, body)} />}
        <JsonInput
          label="Definition"
          description="As the API has it: JSON"
          autosize
          minRows={12}
          maxRows={26}
          formatOnBlur
          styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 12.5 } }}
          value={draft.text}
          error={mine ? undefined : 'This is not a JSON object yet'}
          onChange={(text) => change({ ...draft, text })}
        />
        <Group justify="flex-end">
          {discard && draft.text !== pretty(draft.base) && (
            <Button variant="subtle" color="gray" onClick={discard}>
              Discard my changes
            </Button>
          )}
          <Button type="submit" loading={busy} disabled={!mine || theirs !== undefined}>
            Save
          </Button>
        </Group>
      </Stack>
    </form>
  );
} // prettier-ignore

function parsed(text: string): Body | null {
  try {
    const value = JSON.parse(text) as unknown;
    return value && typeof value === 'object' && !Array.isArray(value) ? (value as Body) : null;
  } catch {
    return null;
  }
}
