import { Group, Select } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';
import { $api, type Schemas } from '../api/client';
import { token } from '../state/tokens';
import { Answer, Empty } from '../ui/Answer';
import { DataTable } from '../ui/DataTable';
import { Part } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Time, Took } from '../ui/Time';

const route = getRouteApi('/tasks/$id');
type Attempt = Schemas['Attempt'];

/** Every try, and two of them side by side. */
export function Attempts({ task }: { task: Schemas['Task'] }) {
  const query = $api.useQuery('get', '/api/v1/tasks/{id}/attempts', {
    params: { path: { id: task.id }, query: { limit: 200 } },
  });
  return (
    <Answer query={query}>
      {({ items }) =>
        items.length ? (
          <>
            <DataTable
              label="Attempts"
              rows={items}
              idOf={(one) => String(one.attempt)}
              columns={[
                { header: 'Attempt', accessorKey: 'attempt' },
                {
                  header: 'State',
                  id: 'state',
                  cell: ({ row }) => <StateBadge kind="TaskState" state={row.original.state} />,
                },
                { header: 'Cause', id: 'cause', accessorFn: (one) => one.cause ?? '–' },
                { header: 'Exit', id: 'exit', accessorFn: (one) => one.exit_code ?? '–' },
                { header: 'Started', id: 'started', cell: ({ row }) => <Time at={row.original.started_at} /> },
                {
                  header: 'Took',
                  id: 'took',
                  cell: ({ row }) => <Took from={startOf(row.original, task)} to={row.original.ended_at} />,
                },
                { header: 'Error', id: 'error', accessorFn: (one) => one.error ?? '–' },
              ]}
            />
            {items.length > 1 && <Compare items={items} />}
          </>
        ) : (
          <Empty title="Not tried yet">{task.waiting?.sentence}</Empty>
        )
      }
    </Answer>
  );
}

/** When an attempt began; of one that is over without a known end there is no duration. */
export const startOf = (one: Attempt, task: Pick<Schemas['Task'], 'attempt' | 'state'>) =>
  one.ended_at || (one.attempt === task.attempt && !token('TaskState', task.state).ends) ? one.started_at : null;

const LINES: [string, (one: Attempt) => string][] = [
  ['Cause', (one) => one.cause ?? '–'],
  ['Exit code', (one) => String(one.exit_code ?? '–')],
  ['Error', (one) => one.error ?? '–'],
  ['Phase', (one) => one.phase ?? '–'],
  ['Handle', (one) => one.handle ?? '–'],
  ['Run key', (one) => one.run_key ?? '–'],
  ['Submitted', (one) => one.submitted_at ?? '–'],
  ['Started', (one) => one.started_at ?? '–'],
  ['Ended', (one) => one.ended_at ?? '–'],
];

function Compare({ items }: { items: Attempt[] }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const numbers = items.map((one) => String(one.attempt));
  const left = items.find((one) => String(one.attempt) === search.attempt) ?? items[0]!;
  const right = items.find((one) => String(one.attempt) === search.other) ?? items[1]!;
  const pick = (name: 'attempt' | 'other', label: string, value: string) => (
    <Select
      label={label}
      w={120}
      allowDeselect={false}
      data={numbers}
      value={value}
      onChange={(next) => void navigate({ search: (old) => ({ ...old, [name]: next ?? undefined }), replace: true })}
    />
  );
  return (
    <div style={{ marginTop: 14 }}>
      <Part title="Two attempts compared">
        <Group mb="xs">
          {pick('attempt', 'One', String(left.attempt))}
          {pick('other', 'Other', String(right.attempt))}
        </Group>
        {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a part that scrolls has to be reached */}
        <div className="table-scroll" role="region" aria-label="Two attempts" tabIndex={0}>
          <table className="table">
            <thead>
              <tr>
                <th scope="col">What</th>
                <th scope="col">Attempt {left.attempt}</th>
                <th scope="col">Attempt {right.attempt}</th>
              </tr>
            </thead>
            <tbody>
              {LINES.map(([name, of]) => (
                <tr key={name} className={of(left) === of(right) ? '' : 'differs'}>
                  <th scope="row">{name}</th>
                  <td>{of(left)}</td>
                  <td>{of(right)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Part>
    </div>
  );
}
