import { http, type Schemas } from '../api/client';
import type { Filters } from './filters';

type Plan = Schemas['Plan'];
export type Action = Schemas['PlansBulkInput']['action'];

/** What can be done to many runs, and in which states it makes sense. */
export const ACTIONS: Record<Action, { label: string; states: readonly string[] }> = {
  pause: { label: 'Pause', states: ['RUNNING'] },
  resume: { label: 'Resume', states: ['PAUSED'] },
  cancel: {
    label: 'Cancel',
    states: ['ACCEPTED', 'RESOLVING', 'PREVIEWED', 'AWAITING_APPROVAL', 'RUNNING', 'PAUSED'],
  },
  retry: { label: 'Retry failures', states: ['FAILED', 'COMPLETED_WITH_ERRORS', 'CANCELLED'] },
};

/** The API takes so many in one request. */
export const MAX_RUNS = 10_000;

/** The runs of a filter that an action makes sense for; `more` when there are more than one request takes. */
export async function matching(
  filters: Filters,
  action: Action,
  progress: (count: number) => void,
  signal: AbortSignal,
): Promise<{ plans: Plan[]; more: boolean }> {
  const state = ACTIONS[action].states.filter((one) => !filters.state || filters.state.includes(one));
  const plans: Plan[] = [];
  if (!state.length) return { plans, more: false };
  let cursor: string | undefined;
  do {
    const query = { ...filters, state, limit: 200, ...(cursor ? { cursor } : {}) };
    const { data, error } = await http.GET('/api/v1/plans', { params: { query }, signal });
    if (error) throw error;
    plans.push(...data.items);
    progress(plans.length);
    cursor = data.next_cursor ?? undefined;
  } while (cursor && plans.length < MAX_RUNS);
  return { plans: plans.slice(0, MAX_RUNS), more: cursor !== undefined || plans.length > MAX_RUNS };
}
