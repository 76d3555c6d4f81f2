import { Button, Group, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { token } from '../state/tokens';
import { Part } from '../ui/Page';
import { Facts } from '../ui/Json';
import { useAction } from '../ui/useAction';
import { RuleFields } from './RuleFields';
import { draftOf, rulesOf } from './rules';

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
            ['Priority', rules.priority ?? 50],
            ['Canary', rules.canary ? `first ${rules.canary.first}` : 'none'],
            ['Brake', rules.brake ? `at ${draftOf(rules).brake} % failures` : 'none'],
            ['Order', (rules.order ?? 'oldest_first').replace('_', ' ')],
          ]}
        />
      )}
    </Part>
  );
}

function Form({ id, rules }: { id: string; rules: Rules }) {
  const { act, busy, errorAt } = useAction();
  const [draft, setDraft] = useState(() => draftOf(rules));
  const [reason, setReason] = useState('');
  const next = rulesOf(draft, rules);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void act('The new rules were sent', () =>
          http.PUT('/api/v1/plans/{id}/rules', { params: { path: { id } }, body: { rules: next, reason } }),
        );
      }}
    >
      <RuleFields
        draft={draft}
        set={(part) => setDraft((old) => ({ ...old, ...part }))}
        errorAt={(field) => errorAt(`rules.${field}`)}
      />
      <Group align="flex-end" mt="sm">
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
