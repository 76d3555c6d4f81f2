import { daysAgo } from './since';

export type RunSearch = {
  state?: string[];
  q?: string;
  project?: string;
  actor?: string;
  label?: string;
  target?: string;
  /** Requested in the last so many days. */
  days?: string;
  /** Ended in the last so many days. */
  ended?: string;
  parent?: string;
};

/** The API's filters of what the address says. */
export function filtersOf(search: RunSearch, now = Date.now()) {
  const requested = sinceOf(search.days, now);
  const ended = sinceOf(search.ended, now);
  return {
    ...(search.state?.length ? { state: search.state } : {}),
    ...(search.q ? { q: search.q } : {}),
    ...(search.project ? { project: [search.project] } : {}),
    ...(search.actor ? { actor: [search.actor] } : {}),
    ...(search.label ? { label: [search.label] } : {}),
    ...(search.target ? { target: [search.target] } : {}),
    ...(search.parent ? { parent: [search.parent] } : {}),
    ...(requested ? { created_after: requested } : {}),
    ...(ended ? { ended_after: ended } : {}),
  };
}

function sinceOf(text: string | undefined, now: number): string | undefined {
  const days = Number(text);
  return days > 0 && days <= 3650 ? daysAgo(days, now) : undefined;
}

export type Filters = ReturnType<typeof filtersOf>;

const quoted = (text: string) => (/^[\w.:@/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

export function commandOf(search: RunSearch, now = Date.now()): string {
  const words = ['signalbox plan list'];
  for (const state of search.state ?? []) words.push(`--state ${quoted(state)}`);
  for (const name of ['q', 'project', 'actor', 'label', 'target', 'parent'] as const)
    if (search[name]) words.push(`--${name} ${quoted(search[name])}`);
  const { created_after: created, ended_after: ended } = filtersOf(search, now);
  if (created) words.push(`--created-after ${created}`);
  if (ended) words.push(`--ended-after ${ended}`);
  return words.join(' ');
}

export function pathOf(filters: Filters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters))
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, one);
  const text = query.toString();
  return `/api/v1/plans${text ? `?${text}` : ''}`;
}
