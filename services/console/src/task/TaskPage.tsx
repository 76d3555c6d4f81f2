import { Anchor, Group, Select, Tabs } from '@mantine/core';
import { getRouteApi, Link } from '@tanstack/react-router';
import { $api, http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { token } from '../state/tokens';
import { Answer } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { CopyMenu, Id } from '../ui/Copy';
import { Facts, Json } from '../ui/Json';
import { shown } from '../ui/names';
import { Page, Part } from '../ui/Page';
import { Sentence } from '../ui/Sentence';
import { StateBadge } from '../ui/StateBadge';
import { Time, Took } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { Attempts } from './Attempts';
import { LogView } from './LogView';
import { Resolve } from './Resolve';
import { TaskEvents } from './TaskEvents';
import { Waterfall } from './Waterfall';

const route = getRouteApi('/tasks/$id');
type Task = Schemas['Task'];

export function TaskPage() {
  const { id } = route.useParams();
  const query = $api.useQuery('get', '/api/v1/tasks/{id}', { params: { path: { id } } });
  const task = query.data;
  const attempt = Number(route.useSearch().attempt) || task?.attempt || 1;
  return (
    <Page
      title={shown(task?.step ?? task?.item_key ?? id.slice(0, 13))}
      beside={task && <StateBadge kind="TaskState" state={task.state} />}
      words={
        task && (
          <>
            <Id value={task.id} /> · task of{' '}
            <Link className="link" to="/runs/$id" params={{ id: task.plan_id }}>
              this run
            </Link>{' '}
            · on{' '}
            <Link className="link" to="/engines/$id" params={{ id: task.engine }}>
              {task.engine}
            </Link>
          </>
        )
      }
      actions={
        <>
          {task && <TaskControls task={task} />}
          <CopyMenu cli={`signalbox task logs ${id} --attempt ${attempt}`} path={`/api/v1/tasks/${id}`} json={task} />
        </>
      }
    >
      <Answer query={query}>{(found) => <TaskBody task={found} attempt={attempt} />}</Answer>
    </Page>
  );
}

function TaskControls({ task }: { task: Task }) {
  const may = useMay();
  const { act } = useAction();
  const plan = $api.useQuery('get', '/api/v1/plans/{id}', { params: { path: { id: task.plan_id } } }).data;
  if (token('TaskState', task.state).ends) return null;
  return (
    <>
      {task.state === 'UNKNOWN' && may('task.resolve') && <Resolve task={task} />}
      {plan && may('plan.control', plan.actor, plan.project) && !task.cancel_requested && (
        <Ask
          label="Cancel"
          color="red"
          title="Cancel this task"
          words="The engine gets a request to end it; the rest of the run goes on by its rules."
          run={(reason) =>
            act('Cancel requested', () =>
              http.POST('/api/v1/tasks/{id}/cancel', {
                params: { path: { id: task.id } },
                body: { kill: true, reason },
              }),
            )
          }
        />
      )}
    </>
  );
}

function TaskBody({ task, attempt }: { task: Task; attempt: number }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const set = (part: Partial<typeof search>) =>
    void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  return (
    <>
      <Part title="Now">
        {task.waiting && (
          <p className="why">
            <Sentence text={task.waiting.sentence} />
          </p>
        )}
        {task.error && (
          <p className="why" role="alert">
            {task.error}
          </p>
        )}
        <Facts
          rows={[
            ['Attempt', attemptOf(task)],
            ['Queued', <Time key="q" at={task.queued_at} />],
            ['Ran', <Took key="t" from={task.started_at} to={task.ended_at} />],
            ['Exit code', task.exit_code],
            ['Cause', task.cause],
            ['Handle', task.handle && <Handle task={task} />],
            ['Observed', <Time key="o" at={task.observed_at} />],
          ]}
        />
      </Part>
      <Tabs value={search.tab ?? 'log'} onChange={(tab) => set({ tab: tab ?? undefined })} keepMounted={false}>
        <Tabs.List mb="sm">
          <Tabs.Tab value="log">Log</Tabs.Tab>
          <Tabs.Tab value="attempts">Attempts</Tabs.Tab>
          <Tabs.Tab value="events">Events</Tabs.Tab>
          <Tabs.Tab value="trace">Trace</Tabs.Tab>
          <Tabs.Tab value="raw">JSON</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="log">
          {task.attempt > 1 && (
            <Group mb="xs">
              <Select
                label="Attempt"
                w={130}
                allowDeselect={false}
                data={Array.from({ length: task.attempt }, (_, at) => String(at + 1))}
                value={String(attempt)}
                onChange={(next) => set({ attempt: next ?? undefined, line: undefined })}
              />
            </Group>
          )}
          <LogView key={attempt} task={task.id} attempt={attempt} />
        </Tabs.Panel>
        <Tabs.Panel value="attempts">
          <Attempts task={task} />
        </Tabs.Panel>
        <Tabs.Panel value="events">
          <TaskEvents id={task.id} />
        </Tabs.Panel>
        <Tabs.Panel value="trace">
          <Waterfall traceId={task.trace_id} />
        </Tabs.Panel>
        <Tabs.Panel value="raw">
          <Json value={task} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

/** Attempts that the infrastructure lost do not use up those of the user. */
function attemptOf(task: Task) {
  const lost = task.infrastructure_faults;
  const why = lost === 0 ? '' : ` (${lost} repeated after ${lost === 1 ? 'a fault' : 'faults'} of the infrastructure)`;
  return `${task.attempt} of ${task.max_attempts + lost}${why}`;
}

function Handle({ task }: { task: Task }) {
  const link = task.handle_url && /^https?:\/\//.test(task.handle_url) ? task.handle_url : null;
  if (!link) return <code>{task.handle}</code>;
  return (
    <Anchor size="sm" href={link} target="_blank" rel="noreferrer noopener">
      {task.handle}
    </Anchor>
  );
}
