import { Button } from '@mantine/core';
import {
  flexRender,
  getCoreRowModel,
  getSortedRowModel,
  useReactTable,
  type ColumnDef,
  type RowData,
} from '@tanstack/react-table';
import { useState } from 'react';
import { useSteadyRows } from './useSteadyRows';

declare module '@tanstack/react-table' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- its parameters have to be those of the library
  interface ColumnMeta<TData extends RowData, TValue> {
    /** Left out of a narrow window; on a phone, where rows are laid out as cards, it is there. */
    wide?: boolean;
  }
}

export type Columns<T> = ColumnDef<T>[];

type Props<T> = {
  rows: T[];
  columns: Columns<T>;
  label: string;
  idOf: (row: T) => string;
};

/** Heads that say nothing beside what is in the cell. */
const PLAIN = ['State', 'Actions'];

const labelOf = (head: unknown) => (typeof head === 'string' && !PLAIN.includes(head) ? head : undefined);

/**
 * A table that sorts by its heads, and whose rows do not move under the pointer; wide ones scroll by themselves, and on
 * a phone each row is a card. `j` and `k` go from row to row. The roles are set because a browser forgets them when rows are laid out as cards.
 */
export function DataTable<T>({ rows, columns, label, idOf }: Props<T>) {
  const [sorting, setSorting] = useState<{ id: string; desc: boolean }[]>([]);
  const table = useReactTable({
    data: rows,
    columns,
    state: { sorting },
    onSortingChange: setSorting,
    getRowId: idOf,
    getCoreRowModel: getCoreRowModel(),
    getSortedRowModel: getSortedRowModel(),
  });
  const { rows: shown, waiting, pointer, show } = useSteadyRows(table.getRowModel().rows, (row) => row.id);
  const order = { asc: 'ascending', desc: 'descending' } as const;
  return (
    // a region that scrolls has to be reached by the keyboard
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="table-scroll" role="region" aria-label={label} tabIndex={0}>
      <table role="table" className="table cards" {...pointer}>
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr role="row" key={group.id}>
              {group.headers.map((header) => {
                const sorted = header.column.getIsSorted();
                const head = flexRender(header.column.columnDef.header, header.getContext());
                return (
                  <th
                    role="columnheader"
                    className={header.column.columnDef.meta?.wide ? 'wide-only' : undefined}
                    key={header.id}
                    scope="col"
                    aria-sort={sorted ? order[sorted] : undefined}
                  >
                    {header.column.getCanSort() ? (
                      <button type="button" className="sort" onClick={header.column.getToggleSortingHandler()}>
                        {head}
                        <span aria-hidden>{sorted ? (sorted === 'asc' ? ' ↑' : ' ↓') : ''}</span>
                      </button>
                    ) : (
                      head
                    )}
                  </th>
                );
              })}
            </tr>
          ))}
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr role="row" key={row.id}>
              {row.getVisibleCells().map((cell) => (
                <td
                  role="cell" // eslint-disable-line jsx-a11y/no-interactive-element-to-noninteractive-role -- a cell of a table is none
                  className={cell.column.columnDef.meta?.wide ? 'wide-only' : undefined}
                  data-label={labelOf(cell.column.columnDef.header)}
                  key={cell.id}
                >
                  {flexRender(cell.column.columnDef.cell, cell.getContext())}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {waiting > 0 && (
        <Button size="xs" m="xs" variant="light" onClick={show}>
          {waiting} new
        </Button>
      )}
    </div>
  );
}
