import { Button } from '@mantine/core';
import type { ReactNode } from 'react';
import { Answer } from './Answer';
import { DataTable, type Columns } from './DataTable';

type Query<T> = Parameters<typeof Answer<{ items: T[] }>>[0]['query'];

/** The next page of a list that has more than what is shown. */
export function More({ query }: { query: Query<unknown> }) {
  if (!query.hasNextPage) return null;
  return (
    <Button mt="sm" variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage?.()}>
      Show more
    </Button>
  );
}

/** A list of things: loading, failed, empty or a table. */
export function ListPart<T>(props: {
  query: Query<T>;
  columns: Columns<T>;
  label: string;
  idOf: (row: T) => string;
  empty: ReactNode;
}) {
  return (
    <Answer query={props.query}>
      {({ items }) =>
        items.length ? (
          <>
            <DataTable rows={items} columns={props.columns} label={props.label} idOf={props.idOf} />
            <More query={props.query} />
          </>
        ) : (
          props.empty
        )
      }
    </Answer>
  );
}
