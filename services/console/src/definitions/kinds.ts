import { http } from '../api/client';

/** What people save and change. Every kind has the same operations, so they are typed as those of a pipeline. */
export type DefinitionKind = 'engine' | 'job' | 'pipeline' | 'schedule' | 'trigger';

export type Body = { [field: string]: unknown };

const listPath = (kind: DefinitionKind) => `/api/v1/${kind}s` as '/api/v1/pipelines';
export const onePath = (kind: DefinitionKind) => `/api/v1/${kind}s/{id}` as '/api/v1/pipelines/{id}';
export const versionsPath = (kind: DefinitionKind) => `/api/v1/${kind}s/{id}/versions` as '/api/v1/pipelines/{id}/versions'; // prettier-ignore
export const diffPath = (kind: DefinitionKind) => `/api/v1/${kind}s/{id}/diff` as '/api/v1/pipelines/{id}/diff';

/** The console's own pages of a kind. */
export const pagesOf = (kind: DefinitionKind) => `/${kind}s` as '/pipelines';
export const pageOf = (kind: DefinitionKind) => `/${kind}s/$id` as '/pipelines/$id';

const at = (id: string) => ({ params: { path: { id } } });
type Sent = never;

export async function load(kind: DefinitionKind, id: string): Promise<{ body: Body; etag: string }> {
  const { data, error, response } = await http.GET(onePath(kind), { ...at(id), cache: 'no-store' });
  if (error) throw error;
  return { body: editable(data as unknown as Body), etag: response.headers.get('ETag') ?? '' };
}

export const create = (kind: DefinitionKind, body: Body) => http.POST(listPath(kind), { body: body as Sent });

/** Save the next version, only if it is still the one that was loaded; else the answer's status is 412. */
export const save = (kind: DefinitionKind, id: string, body: Body, etag: string) =>
  http.PUT(onePath(kind), { params: { path: { id }, header: { 'If-Match': etag } }, body: body as Sent });

export const remove = (kind: DefinitionKind, id: string) => http.DELETE(onePath(kind), at(id));

const OF_THE_SERVER = ['version', 'revision', 'created_at', 'updated_at', 'updated_by', 'state', 'kind'];

/** The fields that people write. */
export const editable = (body: Body): Body =>
  Object.fromEntries(Object.entries(body).filter(([field]) => !OF_THE_SERVER.includes(field)));

/** Where a new definition starts from. */
export const TEMPLATES: Record<DefinitionKind, Record<string, Body>> = {
  engine: {
    oozie: engine('oozie', { url: 'http://oozie.example:11000/oozie' }),
    flink: engine('flink', { url: 'http://flink.example:8081' }),
    spark: engine('spark', { url: 'http://spark.example:6066' }),
    kubernetes: engine('kubernetes', { namespace: 'default' }),
    airflow: engine('airflow', { url: 'http://airflow.example:8080' }),
    process: engine('process', {}),
  },
  job: { process: { id: 'my-job', name: 'My job', engine: 'local', work: { kind: 'process', argv: ['echo', 'hello'] } } },
  pipeline: {
    'two steps': {
      id: 'my-pipeline',
      name: 'My pipeline',
      steps: [
        { id: 'first', engine: 'local', work: { kind: 'process', argv: ['echo', 'first'] } },
        { id: 'second', engine: 'local', work: { kind: 'process', argv: ['echo', 'second'] }, depends_on: [{ step: 'first' }] },
      ],
    },
  },
  schedule: {
    'every night': { id: 'my-schedule', name: 'My schedule', cron: '0 30 2 * * *', zone: 'UTC', target: { kind: 'pipeline', id: 'my-pipeline' } },
  },
  trigger: {
    'by type': { id: 'my-trigger', name: 'My trigger', match: { types: ['file.*'] }, target: { kind: 'pipeline', id: 'my-pipeline' } },
  },
}; // prettier-ignore

function engine(kind: string, connection: Body): Body {
  return { id: `my-${kind}`, name: `My ${kind}`, connection: { kind, ...connection }, limits: { concurrency: 4 } };
}
