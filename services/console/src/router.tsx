import { createRootRoute, createRoute, createRouter, lazyRouteComponent as page } from '@tanstack/react-router';
import { NotFound } from './shell/NotFound';
import { Shell } from './shell/Shell';
import { Failed } from './ui/Answer';
import { searchOf, strings, text } from './search';

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const at = <P extends string>(path: P, load: () => Promise<Record<string, unknown>>, name: string) =>
  createRoute({
    getParentRoute: () => root,
    path,
    component: page(load as () => Promise<Record<string, never>>, name),
    errorComponent: ({ error, reset }) => <Failed error={error} again={reset} />,
  });

const runs = createRoute({
  getParentRoute: () => root,
  path: '/runs',
  validateSearch: searchOf({
    state: strings,
    q: text,
    project: text,
    actor: text,
    label: text,
    target: text,
    days: text,
    ended: text,
    parent: text,
  }),
  component: page(() => import('./runs/Runs'), 'Runs'),
});
const plan = createRoute({
  getParentRoute: () => root,
  path: '/runs/$id',
  validateSearch: searchOf({ tab: text, state: strings, decision: strings }),
  component: page(() => import('./plan/PlanPage'), 'PlanPage'),
});
const task = createRoute({
  getParentRoute: () => root,
  path: '/tasks/$id',
  validateSearch: searchOf({ tab: text, attempt: text, find: text, line: text, other: text }),
  component: page(() => import('./task/TaskPage'), 'TaskPage'),
});
const lists = searchOf({ q: text, state: strings, source: text, trigger: text, outcome: text, project: text });
const incidents = createRoute({
  getParentRoute: () => root,
  path: '/incidents',
  validateSearch: searchOf({ state: strings, open: text }),
  component: page(() => import('./incidents/Incidents'), 'Incidents'),
});
const events = createRoute({
  getParentRoute: () => root,
  path: '/events',
  validateSearch: lists,
  component: page(() => import('./triggers/Events'), 'Events'),
});
const audit = createRoute({
  getParentRoute: () => root,
  path: '/audit',
  validateSearch: searchOf({ actor: text, target: text, action: text, outcome: text }),
  component: page(() => import('./admin/Audit'), 'Audit'),
});
const reprocessingLogs = createRoute({
  getParentRoute: () => root,
  path: '/reprocessing/$id/logs',
  validateSearch: searchOf({ order: text }),
  component: page(() => import('./reprocessing/ReprocessingLogs'), 'ReprocessingLogs'),
});

const tree = root.addChildren([
  at('/', () => import('./overview/Overview'), 'Overview'),
  runs,
  plan,
  task,
  incidents,
  events,
  audit,
  at('/engines', () => import('./engines/Engines'), 'Engines'),
  at('/engines/$id', () => import('./engines/EnginePage'), 'EnginePage'),
  at('/schedules', () => import('./schedules/Schedules'), 'Schedules'),
  at('/schedules/$id', () => import('./schedules/SchedulePage'), 'SchedulePage'),
  at('/triggers', () => import('./triggers/Triggers'), 'Triggers'),
  at('/triggers/$id', () => import('./triggers/TriggerPage'), 'TriggerPage'),
  at('/pipelines', () => import('./pipelines/Pipelines'), 'Pipelines'),
  at('/pipelines/$id', () => import('./pipelines/PipelinePage'), 'PipelinePage'),
  at('/jobs', () => import('./pipelines/Jobs'), 'Jobs'),
  at('/jobs/$id', () => import('./pipelines/JobPage'), 'JobPage'),
  at('/dead-letters', () => import('./incidents/DeadLetters'), 'DeadLetters'),
  at('/users', () => import('./admin/Users'), 'Users'),
  at('/secrets', () => import('./admin/Secrets'), 'Secrets'),
  at('/freezes', () => import('./admin/Freezes'), 'FreezesPage'),
  at('/status', () => import('./status/StatusPage'), 'StatusPage'),
  at('/rerun', () => import('./oozie/RerunBuilder'), 'RerunBuilder'),
  at('/reprocessing', () => import('./reprocessing/Reprocessing'), 'Reprocessing'),
  at('/reprocessing/$id', () => import('./reprocessing/ReprocessingPage'), 'ReprocessingPage'),
  reprocessingLogs,
]);

export const router = createRouter({
  routeTree: tree,
  basepath: '/console',
  defaultPreload: 'intent',
  // another run or job is another page: nothing that was typed or ticked for the one is there for the other
  defaultRemountDeps: ({ params }) => params,
  defaultErrorComponent: ({ error, reset }) => <Failed error={error} again={reset} />,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
