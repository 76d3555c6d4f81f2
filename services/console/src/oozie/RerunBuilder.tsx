import { Button, Checkbox, Group, Radio, Select, Stack, TagsInput, TextInput } from '@mantine/core';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { $api, http } from '../api/client';
import { RuleFields } from '../plan/RuleFields';
import { useMay } from '../session/me';
import { Answer, Empty } from '../ui/Answer';
import { Page, Part } from '../ui/Page';
import { useAction } from '../ui/useAction';
import { bodyOf, coordinatorsOf, FIRST, idsOf, wrongWith, type Draft } from './rerun';

/** Choose what to run again; the preview then shows the decision of every item, before anything starts. */
export function RerunBuilder() {
  const engines = $api.useQuery('get', '/api/v1/engines', { params: { query: { limit: 200 } } });
  const oozie = (engines.data?.items ?? []).filter((one) => one.connection.kind === 'oozie').map((one) => one.id);
  const navigate = useNavigate();
  const { act, busy } = useAction();
  const may = useMay();
  const [draft, setDraft] = useState(FIRST);
  const [tried, setTried] = useState(false);
  const set = (part: Partial<Draft>) => setDraft((old) => ({ ...old, ...part }));
  const current = { ...draft, engine: draft.engine || (oozie.length === 1 ? oozie[0]! : '') };
  const known = $api.useQuery(
    'get',
    '/api/v1/tasks',
    { params: { query: { engine: [current.engine], limit: 200 } } },
    { enabled: current.engine !== '', staleTime: 60_000 },
  );
  const wrong = wrongWith(current);
  const error = (field: keyof Draft) => (tried ? wrong[field] : undefined);
  const submit = async () => {
    setTried(true);
    if (Object.keys(wrong).length) return;
    let made = '';
    const ok = await act('The preview is being made', async () => {
      const answer = await http.POST('/api/v1/plans', { body: bodyOf(current) });
      made = answer.data?.id ?? '';
      return answer;
    });
    if (ok && made) void navigate({ to: '/runs/$id', params: { id: made } });
  };
  return (
    <Page
      title="Rerun Oozie"
      words="Nothing starts here: you get a preview with the decision of every item, and what would be deleted"
    >
      {!may('plan.start') ? (
        <Empty title="You may not start runs">
          A rerun needs the permission plan.start: an administrator gives it.
        </Empty>
      ) : !engines.data ? (
        <Answer query={engines}>{() => null}</Answer>
      ) : oozie.length === 0 ? (
        <Empty title="No Oozie is registered">
          <Link className="link" to="/engines">
            Register one
          </Link>
          , or type <code>signalbox engine create --file oozie.yaml</code> with <code>connection.kind: oozie</code>.
        </Empty>
      ) : (
        <form
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            void submit();
          }}
        >
          <div className="grid">
            <Part title="What">
              <Stack>
                <Select
                  label="Oozie"
                  required
                  data={oozie}
                  value={current.engine || null}
                  error={error('engine')}
                  onChange={(engine) => set({ engine: engine ?? '' })}
                />
                <TagsInput
                  label="Coordinators and bundles"
                  description="Their ids: typed, pasted (spaces and commas part them), or chosen from earlier runs"
                  required
                  splitChars={[',', ' ', '\n', ';']}
                  data={coordinatorsOf((known.data?.items ?? []).map((task) => task.item_key))}
                  value={draft.coordinators}
                  error={error('coordinators')}
                  onChange={(typed) => set({ coordinators: idsOf(typed) })}
                />
                <Group grow align="flex-start">
                  <TextInput
                    label="From day"
                    description="UTC; without a last day only this one"
                    type="date"
                    value={draft.from}
                    onChange={(event) => set({ from: event.currentTarget.value })}
                  />
                  <TextInput
                    label="To day"
                    description="UTC; without a first day only this one"
                    type="date"
                    value={draft.until}
                    error={error('until')}
                    onChange={(event) => set({ until: event.currentTarget.value })}
                  />
                </Group>
                <TextInput
                  label="Or action numbers"
                  placeholder="1-20, 31"
                  value={draft.numbers}
                  error={error('numbers')}
                  onChange={(event) => set({ numbers: event.currentTarget.value })}
                />
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
            <Part title="How">
              <Stack>
                <Radio.Group
                  label="Within each"
                  value={draft.scope}
                  onChange={(value) => set({ scope: value as Draft['scope'] })}
                >
                  <Stack gap={6} mt={4}>
                    <Radio value="all" label="every action of the workflow" />
                    <Radio value="skip_successful" label="leave out what succeeded" />
                    <Radio value="only_failed" label="only what failed" />
                    <Radio value="nodes" label="only these nodes" />
                  </Stack>
                </Radio.Group>
                {draft.scope === 'nodes' && (
                  <TagsInput
                    label="Nodes"
                    required
                    value={draft.nodes}
                    error={error('nodes')}
                    onChange={(nodes) => set({ nodes })}
                  />
                )}
                <Checkbox
                  label="Delete outputs first, as Oozie does"
                  checked={draft.cleanUp}
                  onChange={(event) => set({ cleanUp: event.currentTarget.checked })}
                />
                <Checkbox
                  label="Look up the input datasets again"
                  checked={draft.refresh}
                  onChange={(event) => set({ refresh: event.currentTarget.checked })}
                />
                <Select
                  label="Order"
                  allowDeselect={false}
                  value={draft.order}
                  data={[
                    { value: 'oldest_first', label: 'oldest first' },
                    { value: 'newest_first', label: 'newest first' },
                  ]}
                  onChange={(value) => set({ order: value as Draft['order'] })}
                />
                <RuleFields draft={draft.rules} set={(part) => set({ rules: { ...draft.rules, ...part } })} />
                <TextInput
                  label="Name"
                  description="Empty: made of the coordinators"
                  maxLength={200}
                  value={draft.name}
                  onChange={(event) => set({ name: event.currentTarget.value })}
                />
                <TextInput
                  label="Reason"
                  maxLength={1000}
                  value={draft.reason}
                  onChange={(event) => set({ reason: event.currentTarget.value })}
                />
                <Group justify="flex-end">
                  <Button type="submit" loading={busy}>
                    Preview
                  </Button>
                </Group>
              </Stack>
            </Part>
          </div>
        </form>
      )}
    </Page>
  );
}
