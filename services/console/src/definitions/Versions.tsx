import { Group, Select } from '@mantine/core';
import { useState } from 'react';
import { $api } from '../api/client';
import { Answer, Empty } from '../ui/Answer';
import { DataTable } from '../ui/DataTable';
import { textOf } from '../pipelines/params';
import { diffPath, versionsPath, type DefinitionKind } from './kinds';
import { Part } from '../ui/Page';
import { Time } from '../ui/Time';

/** Who changed it when and why, and what was different. */
export function Versions({ kind, id, newest }: { kind: DefinitionKind; id: string; newest: number }) {
  const query = $api.useQuery('get', versionsPath(kind), {
    params: { path: { id }, query: { limit: 100 } },
  });
  const [from, setFrom] = useState(Math.max(1, newest - 1));
  const [to, setTo] = useState(newest);
  const numbers = Array.from({ length: newest }, (_, at) => String(newest - at));
  return (
    <>
      <Answer query={query}>
        {({ items }) => (
          <DataTable
            label="Versions"
            rows={items}
            idOf={(one) => String(one.version)}
            columns={[
              { header: 'Version', accessorKey: 'version' },
              {
                header: 'Made',
                accessorKey: 'created_at',
                cell: ({ row }) => <Time at={row.original.created_at} exact />,
              },
              { header: 'By', accessorKey: 'created_by' },
              { header: 'Why', id: 'reason', accessorFn: (one) => one.reason || '–' },
            ]}
          />
        )}
      </Answer>
      {newest > 1 && (
        <div style={{ marginTop: 14 }}>
          <Part title="What is different">
            <Group mb="xs">
              <Select
                label="From"
                w={100}
                allowDeselect={false}
                data={numbers}
                value={String(from)}
                onChange={(value) => setFrom(Number(value))}
              />
              <Select
                label="To"
                w={100}
                allowDeselect={false}
                data={numbers}
                value={String(to)}
                onChange={(value) => setTo(Number(value))}
              />
            </Group>
            <Difference kind={kind} id={id} from={from} to={to} />
          </Part>
        </div>
      )}
    </>
  );
}

function Difference({ kind, id, from, to }: { kind: DefinitionKind; id: string; from: number; to: number }) {
  const query = $api.useQuery('get', diffPath(kind), { params: { path: { id }, query: { from, to } } });
  return (
    <Answer query={query} lines={2}>
      {({ changes }) =>
        changes.length ? (
          <DataTable
            label="Differences"
            rows={changes}
            idOf={(one) => `${one.path} ${one.change}`}
            columns={[
              { header: 'Where', accessorKey: 'path', cell: ({ row }) => <code>{row.original.path}</code> },
              { header: 'What', accessorKey: 'change' },
              { header: 'Before', id: 'before', accessorFn: (one) => textOf(one.before).slice(0, 300) || '–' },
              { header: 'After', id: 'after', accessorFn: (one) => textOf(one.after).slice(0, 300) || '–' },
            ]}
          />
        ) : (
          <Empty title="No difference">Choose two other versions.</Empty>
        )
      }
    </Answer>
  );
}
