/**
 * A server that answers like Oozie for two daily coordinators of seven actions each, and reruns what is requested. It stands
 * in for a real one, which needs a JDK and minutes: the engine's own tests run against that.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Ids are new in each run: what an earlier run left behind holds none of them. */
const RUN = String(Date.now()).padStart(15, '0');
export const COORDINATOR = `0000012-${RUN}-oozie-C`;
export const OTHER_COORDINATOR = `0000013-${RUN}-oozie-C`;

/** `key` is the external id of the action's newest workflow, `before` are its earlier workflows. */
type Action = {
  coordinator: string; number: number; status: string; workflow: string; before: string[]; key: string | null; modified: Date;
}; // prettier-ignore

const gmt = (at: Date) => at.toUTCString();
const nominal = (number: number) => new Date(Date.UTC(2026, 2, number, 0, 0));

let workflows = 0;
const newWorkflow = () => `${String(++workflows).padStart(7, '0')}-${RUN}-oozie-W`;

const STATES = ['SUCCEEDED', 'KILLED', 'SUCCEEDED', 'FAILED', 'TIMEDOUT', 'RUNNING', 'WAITING'];

export type Oozie = { url: string; actions: Action[]; close: () => void };

export async function startOozie(): Promise<Oozie> {
  const actions = [COORDINATOR, OTHER_COORDINATOR].flatMap((coordinator) =>
    STATES.map((status, at) => ({
      coordinator,
      number: at + 1,
      status,
      workflow: newWorkflow(),
      before: [],
      key: null,
      modified: new Date(Date.UTC(2026, 2, 8, at)),
    })),
  );
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://oozie');
    const sent = (await request.toArray()).join('');
    const body = answerTo(actions, request.method ?? 'GET', url, sent);
    if (process.env.OOZIE_LOG) console.log(request.method, request.url, body ? '' : '(unknown)');
    response.setHeader('Date', gmt(new Date()));
    response.setHeader('Content-Type', 'application/json');
    if (!body) response.setHeader('oozie-error-code', 'E0604').setHeader('oozie-error-message', 'E0604: not there');
    response.statusCode = body ? 200 : 400;
    response.end(JSON.stringify(body ?? {}));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${portOf(server)}/oozie`, actions, close: () => server.close() };
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

function answerTo(actions: Action[], method: string, url: URL, sent: string): object | null {
  const path = url.pathname.replace(/^\/oozie\/v2\//, '');
  const query = url.searchParams;
  if (path === 'admin/build-version') return { buildVersion: '5.2.1' };
  if (path === 'admin/status') return { systemMode: 'NORMAL' };
  if (path === 'jobs') return listed(actions, query);
  const [id = '', number] = path.replace(/^job\//, '').split('@');
  const own = actions.filter((one) => one.coordinator === id);
  if (method === 'PUT') return rerun(own, query, sent);
  const action = number ? own.find((one) => one.number === Number(number)) : actions.find((one) => one.workflow === id);
  if (number && query.get('show') === 'allruns')
    return { workflows: [...(action?.before ?? []), action?.workflow].map((id) => ({ id })) };
  if (number) return action ? shownAction(action) : null;
  if (own.length) return coordinator(id, own, query);
  return action ? workflow(action) : null;
}

/** A rerun of an action is a new workflow, whose external id is that of the request. */
function rerun(actions: Action[], query: URLSearchParams, sent: string): object {
  const numbers = (query.get('scope') ?? '').split(',').map(Number);
  for (const action of actions.filter((one) => numbers.includes(one.number))) {
    action.before.push(action.workflow);
    action.workflow = newWorkflow();
    action.key = /<name>oozie\.wf\.external\.id<\/name>\s*<value>([^<]*)/.exec(sent)?.[1] ?? null;
    action.status = 'SUCCEEDED';
    action.modified = new Date();
  }
  return { actions: actions.filter((one) => numbers.includes(one.number)).map(shownAction) };
}

const ended = ({ status }: Action) => ['SUCCEEDED', 'KILLED', 'FAILED', 'TIMEDOUT'].includes(status);

const workflow = (action: Action) => ({
  id: action.workflow, appName: 'daily-load', appPath: 'hdfs://lake/apps/daily-load', status: action.status, run: 0, user: 'etl', externalId: action.key,
  parentId: `${action.coordinator}@${action.number}`, createdTime: gmt(nominal(action.number)), startTime: gmt(nominal(action.number)),
  endTime: ended(action) ? gmt(action.modified) : null, lastModTime: gmt(action.modified), actions: [],
}); // prettier-ignore

function listed(actions: Action[], query: URLSearchParams): object {
  const ids = new Set((query.get('filter') ?? '').split(';').map((one) => one.replace(/^id=/, '')));
  const found = actions.filter((one) => ids.has(one.workflow)).map(workflow);
  return query.get('jobtype') === 'coord'
    ? { coordinatorjobs: [], total: 0, offset: 1, len: 50 }
    : { workflows: found, total: found.length, offset: 1, len: 50 };
}

function coordinator(id: string, actions: Action[], query: URLSearchParams): object {
  const first = Number(query.get('offset') ?? 1) - 1;
  return {
    coordJobId: id, coordJobName: 'daily-load', coordJobPath: 'hdfs://lake/apps/daily-load', status: 'RUNNING', user: 'etl',
    startTime: gmt(nominal(1)), endTime: gmt(nominal(31)), nextMaterializedTime: gmt(nominal(8)), createdTime: gmt(nominal(1)),
    frequency: '1', timeUnit: 'DAY', timeZone: 'UTC', concurrency: 1, total: actions.length,
    actions: actions.slice(first, first + Number(query.get('len') ?? 0)).map(shownAction),
  }; // prettier-ignore
}

const shownAction = (action: Action) => ({
  id: `${action.coordinator}@${action.number}`, actionNumber: action.number, coordJobId: action.coordinator, status: action.status,
  nominalTime: gmt(nominal(action.number)), createdTime: gmt(nominal(action.number)), lastModifiedTime: gmt(action.modified),
  externalId: action.status === 'WAITING' ? null : action.workflow, missingDependencies: action.status === 'WAITING' ? 'hdfs://lake/in/2026-03-07' : '',
}); // prettier-ignore
