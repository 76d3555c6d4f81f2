import { Group, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { ReactNode } from 'react';

/** The head of a page: its name, what stands beside it, what one can do. */
export function Page(props: {
  title: string;
  beside?: ReactNode;
  actions?: ReactNode;
  words?: ReactNode;
  children: ReactNode;
}) {
  useDocumentTitle(`${props.title} · Signalbox`);
  return (
    <div className="page">
      <Group justify="space-between" align="flex-start" mb="md" gap="sm">
        <div className="page-head">
          <Group gap="sm">
            <Title order={1} size="h2" className="wrap" dir="auto">
              {props.title}
            </Title>
            {props.beside}
          </Group>
          {props.words && (
            <Text size="sm" c="dimmed" component="div" mt={2}>
              {props.words}
            </Text>
          )}
        </div>
        <Group gap="xs">{props.actions}</Group>
      </Group>
      {props.children}
    </div>
  );
}

/** A titled part of a page. */
export function Part({ title, beside, children }: { title: string; beside?: ReactNode; children: ReactNode }) {
  return (
    <section className="part" aria-label={title}>
      <Group justify="space-between" mb="xs">
        <Title order={2} size="h5">
          {title}
        </Title>
        {beside}
      </Group>
      {children}
    </section>
  );
}
