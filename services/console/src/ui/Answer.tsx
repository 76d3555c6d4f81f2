import { Alert, Button, Skeleton, Stack, Text, Title } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { isNotFound, wordsOf } from '../api/client';
import { useNow } from './Time';
import { duration } from './instants';

export type Query<T> = {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
  dataUpdatedAt: number;
  refetch: () => unknown;
  /** Of a list that is read page by page. */
  hasNextPage?: boolean;
  isFetchingNextPage?: boolean;
  fetchNextPage?: () => unknown;
};

/** What a query shows: loading, failed, or its answer. An old answer stays, with its age, when the server is away. */
export function Answer<T>({
  query,
  children,
  lines = 6,
}: {
  query: Query<T>;
  children: (data: T) => ReactNode;
  lines?: number;
}) {
  if (query.data !== undefined) {
    return (
      <>
        {query.error ? <Old since={query.dataUpdatedAt} error={query.error} /> : null}
        {children(query.data)}
      </>
    );
  }
  if (query.error) return <Failed error={query.error} again={() => void query.refetch()} />;
  return <Loading lines={lines} />;
}

function Old({ since, error }: { since: number; error: unknown }) {
  const age = duration((useNow() - since) / 1000);
  return (
    <Alert color="yellow" icon={<IconAlertTriangle size={18} />} mb="sm" py="xs" role="status" className="old">
      Shown as it was {age} ago: {wordsOf(error).title.toLowerCase()}.
    </Alert>
  );
}

export function Loading({ lines = 6 }: { lines?: number }) {
  return (
    <Stack gap="xs" aria-busy="true" aria-label="Loading" role="status">
      {Array.from({ length: lines }, (_, at) => (
        <Skeleton key={at} height={26} radius="sm" width={`${100 - ((at * 7) % 30)}%`} />
      ))}
    </Stack>
  );
}

export function Failed({ error, again }: { error: unknown; again?: () => void }) {
  const { title, detail, traceId, fields } = wordsOf(error);
  return (
    <Alert color="red" title={title} icon={<IconAlertTriangle size={20} />} role="alert">
      <Text size="sm">{detail}</Text>
      {fields.map((field) => (
        <Text size="sm" key={field}>
          {field}
        </Text>
      ))}
      {traceId && (
        <Text size="xs" mt={4}>
          trace <code>{traceId}</code>
        </Text>
      )}
      {again && !isNotFound(error) && (
        <Button mt="sm" size="xs" variant="default" onClick={again}>
          Try again
        </Button>
      )}
    </Alert>
  );
}

/** Nothing is there: what it would be, and what to do first. */
export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="empty">
      <Title order={3} size="h4">
        {title}
      </Title>
      <Text size="sm" component="div">
        {children}
      </Text>
    </div>
  );
}
