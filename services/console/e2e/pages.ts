/** Every page of the console with data on it: what axe, the widths and the screenshots go through. */
import { api, seed } from './seed.ts';

export type Ids = Awaited<ReturnType<typeof seed>> & { failedTask: string };

export const PAGES: Record<string, (ids: Ids) => string> = {
  overview: () => '/',
  runs: () => '/runs',
  run: (ids) => `/runs/${ids.live}`,
  'run-rules': (ids) => `/runs/${ids.live}?tab=rules`,
  'run-graph': (ids) => `/runs/${ids.failed}?tab=graph`,
  'run-timeline': (ids) => `/runs/${ids.bulk}?tab=timeline`,
  'run-events': (ids) => `/runs/${ids.bulk}?tab=events`,
  'run-long-names': (ids) => `/runs/${ids.markup}`,
  task: (ids) => `/tasks/${ids.failedTask}`,
  'task-attempts': (ids) => `/tasks/${ids.failedTask}?tab=attempts`,
  'task-events': (ids) => `/tasks/${ids.failedTask}?tab=events`,
  'task-trace': (ids) => `/tasks/${ids.failedTask}?tab=trace`,
  pipelines: () => '/pipelines',
  pipeline: () => '/pipelines/daily',
  jobs: () => '/jobs',
  job: () => '/jobs/compact',
  rerun: () => '/rerun',
  reprocessing: () => '/reprocessing',
  'reprocessing-job': (ids) => `/reprocessing/${ids.reprocessing}`,
  'worker-logs': (ids) => `/reprocessing/${ids.reprocessing}/logs?order=time`,
  schedules: () => '/schedules',
  schedule: () => '/schedules/nightly',
  triggers: () => '/triggers',
  trigger: () => '/triggers/new-files',
  events: () => '/events',
  incidents: () => '/incidents',
  engines: () => '/engines',
  engine: () => '/engines/scripted',
  'dead-letters': () => '/dead-letters',
  freezes: () => '/freezes',
  status: () => '/status',
  audit: () => '/audit',
  users: () => '/users',
  secrets: () => '/secrets',
  'no-such-page': () => '/no-such-page',
};

/** Data on every page, and the ids in it. */
export async function seeded(): Promise<Ids> {
  const made = await seed();
  await api('GET', `/plans/${made.failed}?wait=60s&until=end`);
  const tasks = await api('GET', `/plans/${made.failed}/tasks?state=FAILED`);
  return { ...made, failedTask: tasks.body.items[0].id as string };
}
