import { Text } from '@mantine/core';
import { useMemo } from 'react';
import { textOf } from '../pipelines/params';
import { Part } from '../ui/Page';
import { Json } from '../ui/Json';
import { DataTable } from '../ui/DataTable';
import { StateBadge } from '../ui/StateBadge';
import { rowsOf, type Side } from './difference';

const about = (side: Side | undefined) =>
  side
    ? [side.reason, textOf(side.expected), side.deletes?.length ? `deletes ${side.deletes.join(', ')}` : '']
        .filter(Boolean)
        .join(' · ')
    : 'not there';

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
        Nothing has started. Since the preview {counts.changed} items changed, {counts.added} came and {counts.removed}{' '}
        went{total > rows.length ? `; the first ${rows.length} are here` : ''}. Preview again to decide on what is now.
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
            cell: ({ row: { original } }) => <SideCell side={original.was} />,
          },
          {
            header: 'Now',
            id: 'is',
            enableSorting: false,
            cell: ({ row: { original } }) => <SideCell side={original.is} />,
          },
        ]}
      />
    </Part>
  );
}

function SideCell({ side }: { side: Side | undefined }) {
  return (
    <>
      {side && <StateBadge kind="Decision" state={side.decision} />} <span>{about(side)}</span>
    </>
  );
}
