import type { Schemas } from '../api/client';
import { draftOf, rulesOf, type RulesDraft } from '../plan/rules';

export type Draft = {
  engine: string;
  coordinators: string[];
  from: string;
  until: string;
  numbers: string;
  policy: 'missing' | 'failed' | 'all';
  scope: 'all' | 'skip_successful' | 'only_failed' | 'nodes';
  nodes: string[];
  refresh: boolean;
  cleanUp: boolean;
  order: 'oldest_first' | 'newest_first';
  rules: RulesDraft;
  name: string;
  reason: string;
};

/** Where the form begins. */
export const FIRST: Draft = {
  engine: '', coordinators: [], from: '', until: '', numbers: '', policy: 'failed', scope: 'all', nodes: [], cleanUp: true,
  refresh: false, order: 'oldest_first', rules: { ...draftOf({} as Schemas['Rules']), limit: 4 }, name: '', reason: '',
}; // prettier-ignore

const MAX_IDS = 200; // of coordinators, and of bundles
const ACTION = /^(\S+-C)@\d+$/;

/** Coordinators of earlier runs, by the keys of their actions: the newest first. */
export const coordinatorsOf = (keys: readonly string[]) => [
  ...new Set(keys.flatMap((key) => ACTION.exec(key)?.[1] ?? [])),
];

/** Ids as they are typed or pasted: commas, semicolons and blanks part them, and none is there twice. */
export const idsOf = (typed: readonly string[]) => [
  ...new Set(typed.flatMap((text) => text.split(/[\s,;]+/)).filter(Boolean)),
];

/** Ranges of action numbers: `1-20, 31`. Null for what is none. */
export function rangesOf(text: string): [number, number][] | null {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
  const ranges = parts.map((part) => /^(\d+)(?:\s*-\s*(\d+))?$/.exec(part));
  if (ranges.some((one) => !one)) return null;
  const numbers = ranges.map((one): [number, number] => [Number(one![1]), Number(one![2] ?? one![1])]);
  return numbers.every(([first, last]) => first <= last) ? numbers : null;
}

/** What is wrong with a draft, by field; nothing when it can be previewed. */
export function wrongWith(draft: Draft): Partial<Record<keyof Draft, string>> {
  const wrong: Partial<Record<keyof Draft, string>> = {};
  if (!draft.engine) wrong.engine = 'Which Oozie?';
  if (!draft.coordinators.length) wrong.coordinators = 'At least one coordinator or bundle';
  const bundles = draft.coordinators.filter((id) => id.endsWith('-B')).length;
  if (Math.max(bundles, draft.coordinators.length - bundles) > MAX_IDS)
    wrong.coordinators = `At most ${MAX_IDS} of each; these are ${draft.coordinators.length}`;
  if (rangesOf(draft.numbers) === null) wrong.numbers = 'Ranges such as 1-20, 31';
  if (draft.from && draft.until && draft.until < draft.from) wrong.until = 'After the first day';
  if (draft.scope === 'nodes' && !draft.nodes.length) wrong.nodes = 'At least one node';
  return wrong;
}

/** The plan to preview. */
export function bodyOf(draft: Draft): Schemas['PlanCreateInput'] {
  const ids = draft.coordinators;
  const numbers = rangesOf(draft.numbers) ?? [];
  const dates =
    draft.from || draft.until
      ? [[`${draft.from || draft.until}T00:00:00Z`, `${draft.until || draft.from}T23:59:59Z`]]
      : [];
  const selection = {
    kind: 'oozie_actions' as const,
    coordinators: ids.filter((id) => !id.endsWith('-B')),
    bundles: ids.filter((id) => id.endsWith('-B')),
    ...(numbers.length ? { numbers } : {}),
    ...(dates.length ? { dates } : {}),
    rerun: {
      policy: draft.policy,
      scope: draft.scope,
      clean_up: draft.cleanUp,
      refresh: draft.refresh,
      ...(draft.scope === 'nodes' ? { nodes: draft.nodes } : {}),
    },
  };
  return {
    name: draft.name || `Rerun of ${ids[0] ?? ''}${ids.length > 1 ? ` and ${ids.length - 1} more` : ''}`,
    preview: true,
    reason: draft.reason,
    rules: rulesOf(draft.rules, { order: draft.order } as Schemas['Rules']),
    selections: [{ engine: draft.engine, selection }],
  } as Schemas['PlanCreateInput'];
}
