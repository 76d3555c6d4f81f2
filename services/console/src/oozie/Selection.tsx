import { Group, Radio, SegmentedControl, Select, Stack, TagsInput, TextInput } from '@mantine/core';
import { $api } from '../api/client';
import { Part } from '../ui/Page';
import { coordinatorsOf, idsOf, type Draft } from './rerun';

export type FormProps = {
  draft: Draft;
  set: (part: Partial<Draft>) => void;
  /** What is wrong with a field: found here, or refused by the API under the path. */
  error: (field: keyof Draft, path: string) => string | undefined;
};

const SPLIT = [',', ' ', '\n', ';'];
const STATES = ['failed', 'killed', 'succeeded', 'running', 'suspended', 'submitted'];

/** Which workflows or actions are looked up, on which Oozie. */
export function Selection({ draft, set, error, engines }: FormProps & { engines: string[] }) {
  const actions = draft.kind === 'oozie_actions';
  return (
    <Part title="What">
      <Stack>
        <Select
          label="Oozie"
          required
          data={engines}
          value={draft.engine || null}
          error={error('engine', 'selections.0.engine')}
          onChange={(engine) => set({ engine: engine ?? '' })}
        />
        <SegmentedControl
          aria-label="What is rerun"
          value={draft.kind}
          data={[
            { value: 'oozie_actions', label: 'Actions of coordinators' },
            { value: 'oozie_workflows', label: 'Workflows' },
          ]}
          onChange={(kind) => set({ kind: kind as Draft['kind'] })}
        />
        {actions ? (
          <Coordinators draft={draft} set={set} error={error} />
        ) : (
          <Workflows draft={draft} set={set} error={error} />
        )}
        <Radio.Group
          label="Which of them"
          value={draft.policy}
          onChange={(value) => set({ policy: value as Draft['policy'] })}
        >
          <Stack gap={6} mt={4}>
            <Radio value="missing" label="only those that never succeeded and do not run" />
            <Radio value="failed" label="only those that failed" />
            <Radio value="all" label="all, those that succeeded too" />
          </Stack>
        </Radio.Group>
      </Stack>
    </Part>
  );
}

function Coordinators({ draft, set, error }: FormProps) {
  const known = $api.useQuery(
    'get',
    '/api/v1/tasks',
    { params: { query: { engine: [draft.engine], limit: 200 } } },
    { enabled: draft.engine !== '', staleTime: 60_000 },
  );
  const at = 'selections.0.selection.oozie_actions';
  return (
    <>
      <TagsInput
        label="Coordinators and bundles"
        description="Their ids: typed, pasted (spaces and commas part them), or chosen from earlier runs"
        required
        splitChars={SPLIT}
        data={coordinatorsOf((known.data?.items ?? []).map((task) => task.item_key))}
        value={draft.coordinators}
        error={error('coordinators', `${at}.coordinators`) ?? error('coordinators', `${at}.bundles`)}
        onChange={(typed) => set({ coordinators: idsOf(typed) })}
      />
      <Days
        draft={draft}
        set={set}
        error={error}
        path={`${at}.dates`}
        first="UTC; without a last day only this one"
        last="UTC; without a first day only this one"
      />
      <TextInput
        label="Or action numbers"
        placeholder="1-20, 31"
        value={draft.numbers}
        error={error('numbers', `${at}.numbers`)}
        onChange={(event) => set({ numbers: event.currentTarget.value })}
      />
    </>
  );
}

function Workflows({ draft, set, error }: FormProps) {
  const at = 'selections.0.selection.oozie_workflows';
  const text = (field: 'workflowName' | 'workflowUser' | 'workflowText', label: string, name: string) => (
    <TextInput
      label={label}
      maxLength={1024}
      value={draft[field]}
      error={error(field, `${at}.${name}`)}
      onChange={(event) => set({ [field]: event.currentTarget.value })}
    />
  );
  return (
    <>
      <TagsInput
        label="Workflows"
        description="Their ids; or leave it empty, and fill in at least one field below"
        splitChars={SPLIT}
        value={draft.workflows}
        error={error('workflows', `${at}.ids`) ?? error('workflows', at)}
        onChange={(typed) => set({ workflows: idsOf(typed) })}
      />
      <Group grow align="flex-start">
        {text('workflowName', 'Workflow name', 'name')}
        {text('workflowUser', 'User', 'user')}
        {text('workflowText', 'Part of name, user or id', 'text')}
      </Group>
      <TagsInput
        label="States in Oozie"
        description="Empty: any"
        data={STATES}
        value={draft.phases}
        error={error('phases', `${at}.phases`)}
        onChange={(phases) => set({ phases })}
      />
      <Days
        draft={draft}
        set={set}
        error={error}
        path={`${at}.from_at`}
        first="UTC; created on this day or later"
        last="UTC; created on this day or earlier"
      />
    </>
  );
}

function Days({ draft, set, error, path, first, last }: FormProps & { path: string; first: string; last: string }) {
  return (
    <Group grow align="flex-start">
      <TextInput
        label="From day"
        description={first}
        type="date"
        value={draft.from}
        error={error('from', path)}
        onChange={(event) => set({ from: event.currentTarget.value })}
      />
      <TextInput
        label="To day"
        description={last}
        type="date"
        value={draft.until}
        error={error('until', path.replace('from_at', 'until_at'))}
        onChange={(event) => set({ until: event.currentTarget.value })}
      />
    </Group>
  );
}
