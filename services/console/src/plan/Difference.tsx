import { Text } from '@mantine/core';
import { useMemo } from 'react';
import { textOf } from '../pipelines/params';
import { Part } from '../ui/Page';
import { counted } from '../ui/names';
import { Json } from '../ui/Json';
import { DataTable } from '../ui/DataTable';
import { StateBadge } from '../ui/StateBadge';
import { fieldsChanged, rowsOf, type Row } from './difference';

const text = (value: unknown) => textOf(Array.isArray(value) ? value.join(', ') : value) || 'nothing';

/** Why an apply was refused: each item that changed, came or went since the preview, as it was and as it is. */
export function Difference({ value }: { value: unknown }) {
  const found = useMemo(() => rowsOf(value), [value]);
  if (!found)
    return (
      <Part title="What was different when it was applied">
        <Json value={value} label="Difference" />
      </Part>
    );
  const { rows, counts } = found;
  const total = counts.changed + counts.added + counts.removed;
  return (
    <Part title="What was different when it was applied">
      <Text size="sm" mb="xs">
        Nothing has started. Since the preview {counted(counts.changed, 'item')} changed,{' '}
        {counted(counts.added, 'item')} came and {counted(counts.removed, 'item')} went
        {total > rows.length ? `; the first ${rows.length} are here` : ''}. Preview again to decide on what is now.
      </Text>
      <DataTable
        label="Differences"
        rows={rows}
        idOf={(row) => `${row.change} ${row.key}`}
        columns={[
          { header: 'Item', accessorKey: 'key', cell: ({ row }) => <bdi className="wrap">{row.original.key}</bdi> },
          { header: 'What', accessorKey: 'change' },
          {
            header: 'Previewed as',
            id: 'was',
            enableSorting: false,
            cell: ({ row: { original } }) => <SideCell row={original} of="was" />,
          },
          {
            header: 'Now',
            id: 'is',
            enableSorting: false,
            cell: ({ row: { original } }) => <SideCell row={original} of="is" />,
          },
        ]}
      />
    </Part>
  );
}

function SideCell({ row, of }: { row: Row; of: 'was' | 'is' }) {
  const side = row[of];
  if (!side) return <span className="dim">not there</span>;
  return (
    <>
      <StateBadge kind="Decision" state={side.decision} /> <span>{side.reason}</span>
      {fieldsChanged(row.was, row.is).map((field) => (
        <div className="wrap" key={field.name}>
          <span className="dim">{field.name.replaceAll('_', ' ')}</span> {text(field[of])}
        </div>
      ))}
    </>
  );
}
