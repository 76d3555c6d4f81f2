import { NumberInput, SimpleGrid } from '@mantine/core';
import type { RulesDraft } from './rules';

/** The API's name of each. */
const FIELDS: Record<keyof RulesDraft, string> = {
  limit: 'limit', starts: 'starts_per_minute', priority: 'priority', canary: 'canary.first', canaryFailures: 'canary.max_failures',
  brake: 'brake.failure_ratio', brakeAfter: 'brake.after_items',
}; // prettier-ignore

/** How many at once, how fast, when to stop by itself. An empty field is no rule. */
export function RuleFields({
  draft,
  set,
  errorAt,
}: {
  draft: RulesDraft;
  set: (part: Partial<RulesDraft>) => void;
  /** What the API refused in a field of the rules. */
  errorAt?: (field: string) => string | undefined;
}) {
  const field = (name: keyof RulesDraft, label: string, description: string, more: object = {}) => (
    <NumberInput
      label={label}
      description={description}
      placeholder="none"
      min={0}
      allowNegative={false} // a lone minus would be sent as no limit
      value={draft[name]}
      error={errorAt?.(FIELDS[name])}
      onChange={(value) => set({ [name]: value })}
      {...more}
    />
  );
  return (
    <SimpleGrid cols={{ base: 2, md: 4 }} verticalSpacing="xs">
      {field('limit', 'At once', 'most that run')}
      {field('starts', 'Starts per minute', 'most')}
      {field('priority', 'Priority', '0 to 100', { max: 100 })}
      {field('canary', 'Canary', 'first these alone')}
      {draft.canary !== '' && field('canaryFailures', 'Canary failures', 'most that may fail')}
      {field('brake', 'Brake', 'stop at % failed', { max: 100, decimalScale: 1 })}
      {draft.brake !== '' && field('brakeAfter', 'Brake after', 'items that ended', { min: 1 })}
    </SimpleGrid>
  );
}
