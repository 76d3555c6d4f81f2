import { Button, Group, Modal, MultiSelect, Radio, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { $api, http } from '../api/client';
import { instantOf } from '../ui/instants';
import { useUtc } from '../ui/preferences';
import { useAction } from '../ui/useAction';

export function NewFreeze() {
  const [opened, { open, close }] = useDisclosure(false);
  return (
    <>
      <Button size="xs" onClick={open}>
        Freeze…
      </Button>
      <Modal opened={opened} onClose={close} title="Freeze">
        {opened && <Form close={close} />}
      </Modal>
    </>
  );
}

function Form({ close }: { close: () => void }) {
  const { act, busy } = useAction();
  const engines = $api.useQuery('get', '/api/v1/engines', { params: { query: { limit: 200 } } });
  const [reason, setReason] = useState('');
  const [mode, setMode] = useState<'hold' | 'drain'>('hold');
  const [chosen, setChosen] = useState<string[]>([]);
  const [ends, setEnds] = useState('');
  const utc = useUtc();
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const body = {
          name: reason.slice(0, 60),
          reason,
          mode,
          engines: chosen,
          ends_at: ends ? instantOf(ends, utc) : null,
        };
        void act('Frozen', () => http.POST('/api/v1/freezes', { body })).then((ok) => ok && close());
      }}
    >
      <Stack>
        <TextInput
          label="Reason"
          description="Shown to everybody while it holds"
          required
          data-autofocus
          maxLength={500}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        <MultiSelect
          label="Engines"
          description="None: everywhere"
          data={engines.data?.items.map((one) => one.id) ?? []}
          value={chosen}
          onChange={setChosen}
        />
        <Radio.Group label="What runs" value={mode} onChange={(value) => setMode(value as typeof mode)}>
          <Group mt={4}>
            <Radio value="hold" label="goes on" />
            <Radio value="drain" label="goes on; say when the last has ended" />
          </Group>
        </Radio.Group>
        <TextInput
          label={utc ? 'Until (UTC)' : 'Until (local time)'}
          description="Empty: until it is lifted"
          type="datetime-local"
          value={ends}
          onChange={(event) => setEnds(event.currentTarget.value)}
        />
        <Group justify="flex-end">
          <Button type="submit" loading={busy}>
            Freeze
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
