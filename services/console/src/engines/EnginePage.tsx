import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { $api, http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { Answer, Empty } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { CopyMenu } from '../ui/Copy';
import { DataTable } from '../ui/DataTable';
import { DefinitionControls } from '../definitions/DefinitionControls';
import { Versions } from '../definitions/Versions';
import { Facts, Json } from '../ui/Json';
import { Page, Part } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { Slots } from './EnginesTable';
import { testEngine } from './testEngine';

export function EnginePage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/engines/{id}', { params: { path: { id } } });
  const navigate = useNavigate();
  const engine = query.data;
  return (
    <Page
      title={engine?.name || id}
      beside={engine && <StateBadge kind="Intake" state={engine.state?.intake ?? engine.intake} />}
      words={
        engine && `${id}, ${engine.connection.kind}${engine.production ? ', production' : ''}. ${engine.description}`
      }
      actions={
        <>
          {engine && <EngineControls engine={engine} />}
          {engine && <DefinitionControls kind="engine" id={id} gone={() => void navigate({ to: '/engines' })} />}
          <CopyMenu cli={`signalbox engine show ${id}`} path={`/api/v1/engines/${id}`} json={engine} />
        </>
      }
    >
      <Answer query={query}>{(found) => <EngineBody engine={found} />}</Answer>
    </Page>
  );
}

function EngineControls({ engine }: { engine: Schemas['Engine'] }) {
  const may = useMay();
  const { act } = useAction();
  if (!may('engine.operate')) return null;
  const path = { params: { path: { id: engine.id } } };
  return (
    <>
      <Ask
        label="Test"
        words="Asks the engine whether it answers, and which version it is."
        run={(reason) => testEngine(engine.id, reason)}
      />
      {engine.intake === 'open' ? (
        <>
          <Ask
            label="Pause"
            words="Takes no new work. What runs goes on."
            run={(reason) =>
              act('Paused', () => http.POST('/api/v1/engines/{id}/pause', { ...path, body: { reason } }))
            }
          />
          <Ask
            label="Drain"
            words="Takes no new work, and says when the last has ended: for maintenance."
            run={(reason) =>
              act('Draining', () => http.POST('/api/v1/engines/{id}/drain', { ...path, body: { reason } }))
            }
          />
        </>
      ) : (
        <Ask
          label="Resume"
          variant="filled"
          run={(reason) =>
            act('It takes work again', () => http.POST('/api/v1/engines/{id}/resume', { ...path, body: { reason } }))
          }
        />
      )}
    </>
  );
}

function EngineBody({ engine }: { engine: Schemas['Engine'] }) {
  const { state } = engine;
  return (
    <>
      <Part title="Now">
        {state?.last_error && <p className="why">{state.last_error}</p>}
        <Facts
          rows={[
            ['Breaker', <StateBadge key="b" kind="BreakerState" state={state?.breaker} />],
            ['Breaker since', <Time key="s" at={state?.breaker_since_at} />],
            ['Slots', <Slots key="n" engine={engine} />],
            ['Queued', state?.queued ?? 0],
            ['Unknown', state?.unknown ?? 0],
            ['Last answer', <Time key="a" at={state?.last_answer_at} />],
            ['Version there', state?.server_version || null],
            ['Group', engine.group],
          ]}
        />
      </Part>
      <Working id={engine.id} />
      <div className="grid">
        <Part title="Connection">
          <Json value={engine.connection} label="Connection" />
        </Part>
        <Part title="Limits">
          <Json
            value={{ limits: engine.limits, breaker: engine.breaker, on_unknown: engine.on_unknown }}
            label="Limits"
          />
        </Part>
      </div>
      <Part title="Versions">
        <Versions kind="engine" id={engine.id} newest={engine.version} />
      </Part>
    </>
  );
}

function Working({ id }: { id: string }) {
  const query = $api.useQuery('get', '/api/v1/tasks', {
    params: { query: { engine: [id], state: ['CLAIMED', 'SUBMITTING', 'RUNNING', 'UNKNOWN'], limit: 50 } },
  });
  const queued = $api.useQuery('get', '/api/v1/tasks', {
    params: { query: { engine: [id], state: ['QUEUED'], limit: 20 } },
  });
  const waiting = queued.data?.items ?? [];
  return (
    <Part
      title="Tasks here now"
      beside={<span className="dim">what holds slots first{waiting.length === 20 && ', then the newest queued'}</span>}
    >
      <Answer query={query} lines={3}>
        {({ items }) =>
          items.length || waiting.length ? (
            <DataTable
              label="Tasks here now"
              rows={[...items, ...waiting]}
              idOf={(task) => task.id}
              columns={[
                {
                  header: 'Task',
                  id: 'task',
                  cell: ({ row }) => (
                    <Link to="/tasks/$id" params={{ id: row.original.id }}>
                      <span className="clip">{row.original.item_key}</span>
                    </Link>
                  ),
                },
                {
                  header: 'State',
                  id: 'state',
                  cell: ({ row }) => <StateBadge kind="TaskState" state={row.original.state} />,
                },
                {
                  header: 'Since',
                  id: 'since',
                  cell: ({ row }) => <Time at={row.original.started_at ?? row.original.queued_at} />,
                },
                {
                  header: 'Waits for',
                  id: 'why',
                  cell: ({ row }) => (
                    <span className="clip long" title={row.original.waiting?.sentence}>
                      {row.original.waiting?.sentence ?? <span className="dim">–</span>}
                    </span>
                  ),
                },
              ]}
            />
          ) : (
            <Empty title="Nothing runs or waits here">
              It is free for the next work. Test above shows whether it answers.
            </Empty>
          )
        }
      </Answer>
    </Part>
  );
}
