import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState, type ReactNode } from 'react';

type Props = {
  label: string;
  title?: string;
  words?: ReactNode;
  /** Red is what cannot be taken back. */
  color?: string;
  variant?: string;
  needsReason?: boolean;
  /** Whether the API takes a reason for it. */
  takesReason?: boolean;
  disabled?: boolean;
  /** Whether what has to be confirmed is confirmed. */
  ready?: boolean;
  icon?: ReactNode;
  children?: ReactNode;
  run: (reason: string) => Promise<boolean>;
};

/** A button that asks before it does: what will happen, and why (kept in the audit trail). */
export function Ask({
  label,
  title,
  words,
  color,
  variant = 'default',
  needsReason,
  takesReason = true,
  disabled,
  ready = true,
  icon,
  children,
  run,
}: Props) {
  const [opened, { open, close }] = useDisclosure(false);
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    setBusy(true);
    try {
      if (!(await run(reason))) return;
      close();
      setReason('');
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button size="xs" variant={variant} color={color} onClick={open} disabled={disabled} leftSection={icon}>
        {label}
      </Button>
      <Modal opened={opened} onClose={close} title={title ?? label} centered>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void submit();
          }}
        >
          <Stack gap="sm">
            {words && (
              <Text size="sm" component="div">
                {words}
              </Text>
            )}
            {children}
            {takesReason && (
              <TextInput
                label="Reason"
                description="Kept in the audit trail"
                data-autofocus
                required={needsReason}
                maxLength={1000}
                value={reason}
                onChange={(event) => setReason(event.currentTarget.value)}
              />
            )}
            <Group justify="flex-end">
              <Button variant="default" onClick={close} data-autofocus={takesReason ? undefined : true}>
                Not now
              </Button>
              <Button type="submit" loading={busy} color={color === 'red' ? 'red.9' : color} disabled={!ready}>
                {label}
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
