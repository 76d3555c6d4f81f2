import { $api, type Schemas } from '../api/client';
import { every } from '../live/connection';
import { Answer, Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { DataTable } from '../ui/DataTable';
import { Page, Part } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import type { Kind } from '../state/tokens';

type Groups = Schemas['ConsumerGroup'];
type Unreadable = Schemas['UnreadableDefinition'];

/** Whether what is shown is true: the database, Kafka, what is not yet read. */
export function StatusPage() {
  const query = $api.useQuery('get', '/api/v1/status', {}, { refetchInterval: every(5_000) });
  return (
    <Page
      title="System status"
      words="Signalbox itself"
      actions={<CopyMenu cli="signalbox status" path="/api/v1/status" json={query.data} />}
    >
      <Answer query={query}>
        {(status) => (
          <>
            <div className="tiles">
              <PartTile name="Database" part={status.database} />
              <PartTile name="Kafka" part={status.kafka} />
              <PartTile
                name="Outbox"
                part={status.outbox}
                words={
                  status.outbox.oldest_unsent_seconds
                    ? `oldest unsent ${status.outbox.oldest_unsent_seconds.toFixed(1)} s`
                    : 'nothing unsent'
                }
              />
              <div className={`tile ${status.parked ? 'loud' : ''}`}>
                <b>{status.parked ?? '?'}</b>
                <span>parked messages</span>
              </div>
            </div>
            {Array.isArray(status.unreadable) && status.unreadable.length > 0 && (
              <Part title="Definitions that cannot be read">
                <DataTable<Unreadable>
                  label="Definitions that cannot be read"
                  rows={status.unreadable}
                  idOf={(one) => `${one.kind}:${one.id}`}
                  columns={[
                    { header: 'Kind', accessorKey: 'kind' },
                    { header: 'Definition', accessorKey: 'id' },
                    { header: 'Revision', accessorKey: 'revision' },
                    { header: 'Reason', accessorKey: 'reason' },
                  ]}
                />
              </Part>
            )}
            <div className="grid">
              <Part title="Consumers">
                {status.groups?.length ? (
                  <DataTable<Groups>
                    label="Consumers"
                    rows={status.groups}
                    idOf={(one) => one.group}
                    columns={[
                      { header: 'Group', accessorKey: 'group' },
                      {
                        header: 'Members',
                        accessorKey: 'members',
                        cell: ({ row }) =>
                          row.original.members ? row.original.members : <b className="bad">nobody</b>,
                      },
                      { header: 'Not yet read', accessorKey: 'lag' },
                    ]}
                  />
                ) : (
                  <Empty title="Kafka does not say">{status.kafka.problem}</Empty>
                )}
              </Part>
              <div>
                <Part title="Runs by state">
                  <ByState kind="PlanState" counts={status.plans} />
                </Part>
                <Part title="Tasks by state">
                  <ByState kind="TaskState" counts={status.tasks} />
                </Part>
              </div>
            </div>
          </>
        )}
      </Answer>
    </Page>
  );
}

function PartTile({ name, part, words }: { name: string; part: Schemas['PartStatus']; words?: string }) {
  return (
    <div className={`tile ${part.ok ? '' : 'loud'}`}>
      <b>{part.ok ? 'fine' : 'trouble'}</b>
      <span>
        {name}
        {part.problem ? `: ${part.problem}` : words ? `, ${words}` : ''}
      </span>
    </div>
  );
}

function ByState({ kind, counts }: { kind: Kind; counts: Record<string, number> | null }) {
  const rows = Object.entries(counts ?? {}).filter(([, count]) => count > 0);
  if (!rows.length) return <p className="dim">none</p>;
  return (
    <div className="chips">
      {rows.map(([state, count]) => (
        <StateBadge key={state} kind={kind} state={state} count={count} />
      ))}
    </div>
  );
}
