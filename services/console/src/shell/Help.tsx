import { Modal, SimpleGrid } from '@mantine/core';
import { PLACES } from './places';

export function Help({ opened, close }: { opened: boolean; close: () => void }) {
  const general: [string, string][] = [
    ['/', 'search'],
    ['Ctrl K', 'command palette'],
    ['j  k', 'next row, row before'],
    ['Enter', 'open the row'],
    ['?', 'this help'],
    ['Esc', 'close'],
  ];
  return (
    <Modal opened={opened} onClose={close} title="Keyboard" size="lg">
      <SimpleGrid cols={{ base: 1, xs: 2 }} className="keys" spacing="xs">
        {[
          ...general,
          ...PLACES.flatMap((one) => (one.key ? [[`g ${one.key}`, one.name] as [string, string]] : [])),
        ].map(([key, what]) => (
          <div key={key}>
            <kbd>{key}</kbd> {what}
          </div>
        ))}
      </SimpleGrid>
    </Modal>
  );
}
