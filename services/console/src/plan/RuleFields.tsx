import { NumberInput, SimpleGrid } from '@mantine/core';
import type { RulesDraft } from './rules';

/** How many at once, how fast, when to stop by itself. An empty field is no rule. */
export function RuleFields({ draft, set }: { draft: RulesDraft; set: (part: Partial<RulesDraft>) => void }) {
  const field = (name: keyof RulesDraft, label: string, description: string, more: object = {}) => (
    <NumberInput
      label={label}
      description={description}
      placeholder="none"
      min={0}
      allowNegative={false} // a lone minus would be sent as no limit
      value={draft[name]}
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
