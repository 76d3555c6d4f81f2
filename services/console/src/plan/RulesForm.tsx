import { Button, Group, NumberInput, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { token } from '../state/tokens';
import { Part } from '../ui/Page';
import { Facts } from '../ui/Json';
import { useAction } from '../ui/useAction';

type Rules = Schemas['Rules'];

/** The rules that belong to the plan; changed while it runs. */
export function RulesForm({ plan }: { plan: Schemas['Plan'] }) {
  const may = useMay();
  const editable = may('plan.control', plan.actor, plan.project) && !token('PlanState', plan.state).ends;
  const { rules } = plan;
  return (
    <Part
      title="Rules"
      beside={
        <span className="dim">
          version {plan.rules_version}
          {plan.rules_confirmed < plan.rules_version ? ', not confirmed by the executor yet' : ''}
        </span>
      }
    >
      {editable ? (
        <Form key={plan.rules_version} id={plan.id} rules={rules} />
      ) : (
        <Facts
          rows={[
            ['At once', rules.limit ?? 'no limit'],
            ['Starts per minute', rules.starts_per_minute ?? 'no limit'],
            ['Priority', rules.priority ?? 0],
            ['Canary', rules.canary ? `first ${rules.canary.first}` : 'none'],
            ['Brake', rules.brake ? `at ${100 * rules.brake.failure_ratio} % failures` : 'none'],
            ['Order', (rules.order ?? 'oldest_first').replace('_', ' ')],
          ]}
        />
      )}
    </Part>
  );
}

const number = (value: string | number) => (value === '' ? null : Number(value));

function Form({ id, rules }: { id: string; rules: Rules }) {
  const { act, busy } = useAction();
  const [limit, setLimit] = useState<string | number>(rules.limit ?? '');
  const [starts, setStarts] = useState<string | number>(rules.starts_per_minute ?? '');
  const [priority, setPriority] = useState<string | number>(rules.priority ?? 0);
  const [reason, setReason] = useState('');
  const next: Rules = { ...rules, limit: number(limit), starts_per_minute: number(starts), priority: Number(priority) };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void act('The new rules were sent', () =>
          http.PUT('/api/v1/plans/{id}/rules', { params: { path: { id } }, body: { rules: next, reason } }),
        );
      }}
    >
      <Group align="flex-end">
        <NumberInput label="At once" placeholder="no limit" min={1} w={120} value={limit} onChange={setLimit} />
        <NumberInput
          label="Starts per minute"
          placeholder="no limit"
          min={0}
          w={140}
          value={starts}
          onChange={setStarts}
        />
        <NumberInput label="Priority" w={110} value={priority} onChange={setPriority} />
        <TextInput
          label="Reason"
          w={240}
          value={reason}
          maxLength={1000}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        <Button type="submit" loading={busy}>
          Change now
        </Button>
      </Group>
      <Text size="xs" c="dimmed" mt="xs">
        Holds from the next start on. What runs goes on.
      </Text>
    </form>
  );
}
