import type { Schemas } from '../api/client';

type Rules = Schemas['Rules'];
type Typed = string | number;

/** The rules of a plan as they are typed: empty means none. */
export type RulesDraft = {
  limit: Typed;
  starts: Typed;
  priority: Typed;
  canary: Typed;
  canaryFailures: Typed;
  brake: Typed;
  brakeAfter: Typed;
};

export const draftOf = (rules: Rules): RulesDraft => ({
  limit: rules.limit ?? '',
  starts: rules.starts_per_minute ?? '',
  priority: rules.priority ?? 50,
  canary: rules.canary?.first ?? '',
  canaryFailures: rules.canary?.max_failures ?? 0,
  brake: rules.brake ? Math.round(rules.brake.failure_ratio * 1000) / 10 : '',
  brakeAfter: rules.brake?.after_items ?? 20,
});

const number = (value: Typed) => (value === '' ? null : Number(value));

/** The rules that a draft asks for; what the form does not show stays as it was. */
export function rulesOf(draft: RulesDraft, old: Rules): Rules {
  const canary = number(draft.canary);
  const brake = number(draft.brake);
  return {
    ...old,
    limit: number(draft.limit),
    starts_per_minute: number(draft.starts),
    priority: number(draft.priority) ?? 50,
    canary: canary === null ? null : { first: canary, max_failures: number(draft.canaryFailures) ?? 0 },
    brake: brake === null ? null : { failure_ratio: brake / 100, after_items: number(draft.brakeAfter) ?? 20 },
  };
}
