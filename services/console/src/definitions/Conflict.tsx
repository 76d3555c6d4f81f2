import { Alert, Button, Group } from '@mantine/core';
import { textOf } from '../pipelines/params';
import { DataTable } from '../ui/DataTable';
import { conflictOf, mergedOf } from './changes';
import type { Body } from './kinds';

type Props = { base: Body; theirs: Body; mine: Body; choose: (body: unknown) => void };
const short = (value: unknown) => textOf(value).slice(0, 300) || '–';

/** Somebody else saved meanwhile: what they changed, what I did, and how to go on. Nothing typed is lost. */
export function Conflict({ base, theirs, mine, choose }: Props) {
  const { own, others, both } = conflictOf(base, theirs, mine);
  const merged = mergedOf(base, theirs, mine);
  const rows = [
    ...others.map((one) => ({ ...one, who: both.has(one.path) ? 'both of you' : 'the other' })),
    ...own.filter((one) => !both.has(one.path)).map((one) => ({ ...one, who: 'you' })),
  ];
  return (
    <Alert color="yellow" title="Somebody else has saved it since you began" role="alert">
      <DataTable
        label="What both changed"
        rows={rows}
        idOf={(one) => `${one.who} ${one.path}`}
        columns={[
          { header: 'Where', accessorKey: 'path', cell: ({ row }) => <code>{row.original.path}</code> },
          { header: 'Changed by', accessorKey: 'who' },
          { header: 'Before', id: 'before', accessorFn: (one) => short(one.before) },
          { header: 'After', id: 'after', accessorFn: (one) => short(one.after) },
        ]}
      />
      <Group mt="sm" gap="xs">
        <Button size="xs" disabled={merged === null} onClick={() => choose(merged)}>
          My changes on top of theirs
        </Button>
        <Button size="xs" variant="default" onClick={() => choose(theirs)}>
          Take theirs, drop mine
        </Button>
      </Group>
    </Alert>
  );
}
