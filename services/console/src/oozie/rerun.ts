import type { Schemas } from '../api/client';
import { draftOf, rulesOf, type RulesDraft } from '../plan/rules';

export type Draft = {
  engine: string;
  kind: 'oozie_actions' | 'oozie_workflows';
  coordinators: string[];
  workflows: string[];
  workflowName: string;
  workflowUser: string;
  workflowText: string;
  phases: string[];
  from: string;
  until: string;
  numbers: string;
  policy: 'missing' | 'failed' | 'all';
  scope: 'all' | 'skip_successful' | 'only_failed' | 'nodes';
  nodes: string[];
  /** `name=value`, one a line. */
  properties: string;
  refresh: boolean;
  cleanUp: boolean;
  order: 'oldest_first' | 'newest_first';
  rules: RulesDraft;
  name: string;
  reason: string;
};

/** Where the form begins. */
export const FIRST: Draft = {
  engine: '', kind: 'oozie_actions', coordinators: [], workflows: [], workflowName: '', workflowUser: '', workflowText: '', phases: [],
  from: '', until: '', numbers: '', policy: 'failed', scope: 'all', nodes: [], properties: '', cleanUp: false, refresh: false,
  order: 'oldest_first', rules: { ...draftOf({} as Schemas['Rules']), limit: 4 }, name: '', reason: '',
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

/** Properties that are typed as `name=value`, one a line; the first line that is none is the reason there are none. */
export function propertiesOf(text: string): { properties: Record<string, string>; wrong?: string } {
  const lines = text.split('\n').filter((line) => line.trim());
  const properties: Record<string, string> = {};
  for (const line of lines) {
    const [, name, value] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (!name || !value)
      return { properties: {}, wrong: `${line.trim().slice(0, 60)}: name=value, and no empty value` };
    if (name in properties) return { properties: {}, wrong: `${name} is there twice` };
    properties[name] = value;
  }
  return { properties };
}

/** Whether a rerun goes through the coordinator: only then can outputs be deleted and inputs looked up again. */
export const byCoordinator = (draft: Draft) => draft.kind === 'oozie_actions' && draft.scope === 'all';

/** What is wrong with a draft, by field; nothing when it can be previewed. */
export function wrongWith(draft: Draft): Partial<Record<keyof Draft, string>> {
  const wrong: Partial<Record<keyof Draft, string>> = {};
  if (!draft.engine) wrong.engine = 'Which Oozie?';
  if (draft.kind === 'oozie_actions') {
    if (!draft.coordinators.length) wrong.coordinators = 'At least one coordinator or bundle';
    const bundles = draft.coordinators.filter((id) => id.endsWith('-B')).length;
    if (Math.max(bundles, draft.coordinators.length - bundles) > MAX_IDS)
      wrong.coordinators = `At most ${MAX_IDS} of each; these are ${draft.coordinators.length}`;
    if (rangesOf(draft.numbers) === null) wrong.numbers = 'Ranges such as 1-20, 31';
  } else {
    const { workflows, workflowName, workflowUser, workflowText, phases, from } = draft;
    if (!(workflows.length || workflowName || workflowUser || workflowText || phases.length || from))
      wrong.workflows = 'Ids, or at least one of name, user, part, state and first day';
    if (workflows.length > MAX_IDS) wrong.workflows = `At most ${MAX_IDS}; these are ${workflows.length}`;
  }
  if (draft.from && draft.until && draft.until < draft.from) wrong.until = 'After the first day';
  if (draft.scope === 'nodes' && !draft.nodes.length) wrong.nodes = 'At least one node';
  const { wrong: line } = propertiesOf(draft.properties);
  if (line) wrong.properties = line;
  return wrong;
}

/** The days of a draft: an end that is not typed is the other one. */
const daysOf = ({ from, until }: Draft) =>
  from || until ? [[`${from || until}T00:00:00Z`, `${until || from}T23:59:59Z`]] : [];

function actionsOf(draft: Draft) {
  const numbers = rangesOf(draft.numbers) ?? [];
  const dates = daysOf(draft);
  return {
    coordinators: draft.coordinators.filter((id) => !id.endsWith('-B')),
    bundles: draft.coordinators.filter((id) => id.endsWith('-B')),
    ...(numbers.length ? { numbers } : {}),
    ...(dates.length ? { dates } : {}),
  };
}

const workflowsOf = (draft: Draft) => ({
  ...(draft.workflows.length ? { ids: draft.workflows } : {}),
  ...(draft.workflowName ? { name: draft.workflowName } : {}),
  ...(draft.workflowUser ? { user: draft.workflowUser } : {}),
  ...(draft.workflowText ? { text: draft.workflowText } : {}),
  ...(draft.phases.length ? { phases: draft.phases } : {}),
  ...(draft.from ? { from_at: `${draft.from}T00:00:00Z` } : {}),
  ...(draft.until ? { until_at: `${draft.until}T23:59:59Z` } : {}),
});

/** The name of a rerun that is given none. */
function nameOf({ kind, coordinators, workflows }: Draft): string {
  const ids = kind === 'oozie_actions' ? coordinators : workflows;
  if (!ids.length) return 'Rerun of workflows';
  return `Rerun of ${ids[0]}${ids.length > 1 ? ` and ${ids.length - 1} more` : ''}`.slice(0, 200);
}

/** The plan to preview. */
export function bodyOf(draft: Draft): Schemas['PlanCreateInput'] {
  const { properties } = propertiesOf(draft.properties);
  const selection = {
    kind: draft.kind,
    ...(draft.kind === 'oozie_actions' ? actionsOf(draft) : workflowsOf(draft)),
    rerun: {
      policy: draft.policy,
      scope: draft.scope,
      clean_up: draft.cleanUp && byCoordinator(draft),
      refresh: draft.refresh && byCoordinator(draft),
      ...(Object.keys(properties).length ? { properties } : {}),
      ...(draft.scope === 'nodes' ? { nodes: draft.nodes } : {}),
    },
  };
  return {
    name: draft.name || nameOf(draft),
    preview: true,
    reason: draft.reason,
    rules: rulesOf(draft.rules, { order: draft.order } as Schemas['Rules']),
    selections: [{ engine: draft.engine, selection }],
  } as Schemas['PlanCreateInput'];
}
