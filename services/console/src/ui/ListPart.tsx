import type { ReactNode } from 'react';
import { Answer } from './Answer';
import { DataTable, type Columns } from './DataTable';

type Query<T> = Parameters<typeof Answer<{ items: T[] }>>[0]['query'];

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
          <DataTable rows={items} columns={props.columns} label={props.label} idOf={props.idOf} />
        ) : (
          props.empty
        )
      }
    </Answer>
  );
}
