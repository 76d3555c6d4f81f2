import type { QueryClient } from '@tanstack/react-query';
import { change, connection } from './connection';

/**
 * The live feed: one WebSocket with what changed, which makes the pages read what they show again. Events are
 * gathered, so five thousand a minute cost as many calls as one a second.
 */
export type LiveEvent = { category: string; run_id: string | null; task_id: string | null; version: number };

const GATHER_MS = 700;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const UNAUTHENTICATED = 4401;
const FORBIDDEN = 4403;

/** The parts of the API whose answers these events make old. */
export function touched(events: LiveEvent[]): { lists: boolean; plans: Set<string>; tasks: Set<string> } {
  const plans = new Set<string>();
  const tasks = new Set<string>();
  for (const event of events) {
    if (event.run_id) plans.add(event.run_id);
    if (event.task_id) tasks.add(event.task_id);
  }
  return { lists: events.length > 0, plans, tasks };
}

const LISTS = ['/api/v1/plans', '/api/v1/plans/counts', '/api/v1/tasks', '/api/v1/status', '/api/v1/engines'];

/** Whether a query (its key is method, path, parameters) shows something that changed. */
export function isOld(key: readonly unknown[], changed: ReturnType<typeof touched>): boolean {
  const path = String(key[1] ?? '');
  if (LISTS.includes(path)) return changed.lists;
  const id = (key[2] as { params?: { path?: { id?: string } } } | undefined)?.params?.path?.id;
  if (!id) return false;
  if (path.startsWith('/api/v1/plans/{id}') || path.startsWith('/api/admin/reprocessing/jobs/{id}'))
    return changed.plans.has(id);
  if (path.startsWith('/api/v1/tasks/{id}')) return changed.tasks.has(id);
  return false;
}

/** Follow the feed until the returned function is called. */
export function follow(client: QueryClient): () => void {
  let socket: WebSocket | undefined;
  let stopped = false;
  let wait = FIRST_WAIT_MS;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let gathered: LiveEvent[] = [];

  const flush = () => {
    timer = undefined;
    if (connection().paused) return;
    const changed = touched(gathered);
    gathered = [];
    void client.invalidateQueries({ predicate: (query) => isOld(query.queryKey, changed) }, { cancelRefetch: false });
  };
  const take = (events: LiveEvent[]) => {
    gathered.push(...events);
    if (gathered.length > 20_000) gathered = gathered.slice(-10_000);
    if (connection().paused) change({ held: connection().held + events.length });
    else timer ??= setTimeout(flush, GATHER_MS);
  };
  const connect = () => {
    if (stopped) return;
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    socket = new WebSocket(`${scheme}://${location.host}/api/v1/ws`, ['signalbox.v1']);
    socket.onopen = () => socket?.send(JSON.stringify({ subscribe: { id: 'all', filter: {} } }));
    socket.onmessage = (message) => {
      const body = JSON.parse(String(message.data)) as { events?: LiveEvent[]; subscribed?: unknown };
      if (body.subscribed) {
        wait = FIRST_WAIT_MS;
        change({ feed: 'live' });
        // whatever happened while nobody followed; a page that is held still reads it when it goes on
        if (!connection().paused) void client.invalidateQueries();
      }
      if (body.events) take(body.events);
    };
    socket.onclose = (event) => {
      if (stopped) return;
      change({ feed: event.code === FORBIDDEN ? 'none' : 'away' });
      if (event.code === FORBIDDEN) return;
      if (event.code === UNAUTHENTICATED) void client.invalidateQueries({ queryKey: ['get', '/api/v1/me'] });
      retry = setTimeout(connect, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    };
  };
  connect();
  return () => {
    stopped = true;
    clearTimeout(retry);
    clearTimeout(timer);
    socket?.close();
  };
}

/** Stop or go on showing what changes. */
export function setPaused(client: QueryClient, paused: boolean) {
  change({ paused, held: 0 });
  // a timer that already goes would read once more
  for (const query of client.getQueryCache().findAll({ type: 'active' }))
    for (const observer of query.observers) observer.setOptions(observer.options);
  if (!paused) void client.invalidateQueries();
}
