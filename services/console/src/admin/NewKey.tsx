import { Alert, Button, Code, Group, Modal, NumberInput, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { http } from '../api/client';
import { useAction } from '../ui/useAction';
import { useCopy } from '../ui/useCopy';

/** A key for oneself; its text is shown once. */
export function NewKey() {
  const [opened, { open, close }] = useDisclosure(false);
  const { act, busy } = useAction();
  const [label, setLabel] = useState('');
  const [days, setDays] = useState<string | number>(90);
  const [made, setMade] = useState('');
  const { copied, copy } = useCopy(made);
  const leave = () => {
    close();
    setMade('');
    setLabel('');
  };
  return (
    <>
      <Button size="xs" onClick={open}>
        New key
      </Button>
      <Modal
        opened={opened}
        onClose={leave}
        title="New key"
        closeOnClickOutside={!made}
        closeOnEscape={!made}
        withCloseButton={!made}
      >
        {made ? (
          <Stack>
            <Alert color="yellow">It is shown this once. Keep it where your other secrets are.</Alert>
            <Code block>{made}</Code>
            <Group justify="flex-end">
              <Button variant="default" onClick={leave}>
                Done
              </Button>
              <Button onClick={copy}>{copied ? 'Copied' : 'Copy'}</Button>
            </Group>
          </Stack>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void act('The key is created', async () => {
                const answer = await http.POST('/api/v1/keys', { body: { label, days: Number(days) || null } });
                setMade(answer.data?.key ?? '');
                return answer;
              });
            }}
          >
            <Stack>
              <TextInput
                label="Label"
                description="What uses it"
                required
                data-autofocus
                maxLength={100}
                value={label}
                onChange={(event) => setLabel(event.currentTarget.value)}
              />
              <NumberInput label="Valid for days" min={1} max={3650} value={days} onChange={setDays} />
              <Group justify="flex-end">
                <Button type="submit" loading={busy}>
                  Create
                </Button>
              </Group>
            </Stack>
          </form>
        )}
      </Modal>
    </>
  );
}
