import { daysAgo } from './since';

export type RunSearch = {
  state?: string[];
  q?: string;
  project?: string;
  actor?: string;
  label?: string;
  target?: string;
  days?: string;
  parent?: string;
};

/** The API's filters of what the address says. */
export function filtersOf(search: RunSearch, now = Date.now()) {
  const days = Number(search.days);
  return {
    ...(search.state?.length ? { state: search.state } : {}),
    ...(search.q ? { q: search.q } : {}),
    ...(search.project ? { project: [search.project] } : {}),
    ...(search.actor ? { actor: [search.actor] } : {}),
    ...(search.label ? { label: [search.label] } : {}),
    ...(search.target ? { target: [search.target] } : {}),
    ...(search.parent ? { parent: [search.parent] } : {}),
    ...(days > 0 && days <= 3650 ? { created_after: daysAgo(days, now) } : {}),
  };
}

export type Filters = ReturnType<typeof filtersOf>;

const quoted = (text: string) => (/^[\w.:@/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

export function commandOf(search: RunSearch, now = Date.now()): string {
  const words = ['signalbox plan list'];
  for (const state of search.state ?? []) words.push(`--state ${quoted(state)}`);
  for (const name of ['q', 'project', 'actor', 'label', 'target', 'parent'] as const)
    if (search[name]) words.push(`--${name} ${quoted(search[name])}`);
  const { created_after: after } = filtersOf(search, now);
  if (after) words.push(`--created-after ${after}`);
  return words.join(' ');
}

export function pathOf(filters: Filters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters))
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, one);
  const text = query.toString();
  return `/api/v1/plans${text ? `?${text}` : ''}`;
}
