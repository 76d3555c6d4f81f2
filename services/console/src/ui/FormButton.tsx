import { Button, Group, Modal, Stack } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import type { ReactNode } from 'react';

type Props = {
  label: string;
  title?: string;
  submit: string;
  busy: boolean;
  children: ReactNode;
  run: () => Promise<boolean>;
};

/** A button that opens a form. What is typed stays until it was taken, also when the form is closed meanwhile. */
export function FormButton({ label, title, submit, busy, children, run }: Props) {
  const [opened, { open, close }] = useDisclosure(false);
  return (
    <>
      <Button size="xs" onClick={open}>
        {label}
      </Button>
      <Modal opened={opened} onClose={close} title={title ?? label}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void run().then((ok) => ok && close());
          }}
        >
          <Stack gap="sm">
            {children}
            <Group justify="flex-end">
              <Button variant="default" onClick={close}>
                Not now
              </Button>
              <Button type="submit" loading={busy}>
                {submit}
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
