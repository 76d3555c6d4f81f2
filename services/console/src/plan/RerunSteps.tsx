import { MultiSelect, Radio, Stack } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { IconArrowBackUp } from '@tabler/icons-react';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { token } from '../state/tokens';
import { Ask } from '../ui/Ask';
import { shown } from '../ui/names';
import { useAction } from '../ui/useAction';

type Scope = NonNullable<Schemas['PlanRerunInput']['scope']>;
const SCOPES: [Scope, string][] = [
  ['failed', 'what failed, and what did not run because of it'],
  ['from', 'from these steps on'],
  ['only', 'only these steps'],
  ['start', 'all of it, from the start'],
];

/** A part of a pipeline's run once more, as a new run linked to it; the results of its other steps are used again. */
export function RerunSteps({ plan }: { plan: Schemas['Plan'] }) {
  const { act } = useAction();
  const may = useMay();
  const navigate = useNavigate();
  const [scope, setScope] = useState<Scope>('from');
  const [steps, setSteps] = useState<string[]>([]);
  const [latest, setLatest] = useState('same');
  if (!may('plan.start') || plan.steps.length === 0 || !token('PlanState', plan.state).ends) return null;
  const chooses = scope === 'from' || scope === 'only';
  const run = async (reason: string) => {
    let made = '';
    const body = { scope, steps: chooses ? steps : [], latest: latest === 'latest', reason };
    const ok = await act('The rerun is started', async () => {
      const answer = await http.POST('/api/v1/plans/{id}/rerun', { params: { path: { id: plan.id } }, body });
      made = answer.data?.id ?? '';
      return answer;
    });
    if (ok && made) void navigate({ to: '/runs/$id', params: { id: made } });
    return ok;
  };
  return (
    <Ask
      label="Rerun steps"
      title={`Rerun ${shown(plan.name)}`}
      icon={<IconArrowBackUp size={14} />}
      ready={!chooses || steps.length > 0}
      run={run}
    >
      <Radio.Group label="What runs again" value={scope} onChange={(value) => setScope(value as Scope)}>
        <Stack gap={6} mt={4}>
          {SCOPES.map(([value, label]) => (
            <Radio key={value} value={value} label={label} />
          ))}
        </Stack>
      </Radio.Group>
      {chooses && (
        <MultiSelect
          label="Steps"
          required
          searchable
          data={plan.steps.map((step) => step.id)}
          value={steps}
          onChange={setSteps}
        />
      )}
      <Radio.Group label="By which version" value={latest} onChange={setLatest}>
        <Stack gap={6} mt={4}>
          <Radio value="same" label={`the one it ran${plan.target_version ? `, ${plan.target_version}` : ''}`} />
          <Radio value="latest" label="the newest" />
        </Stack>
      </Radio.Group>
    </Ask>
  );
}
