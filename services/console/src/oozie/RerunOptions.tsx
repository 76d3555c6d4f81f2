import { Checkbox, Radio, Select, Stack, TagsInput, Textarea, TextInput } from '@mantine/core';
import type { ReactNode } from 'react';
import { RuleFields } from '../plan/RuleFields';
import { Part } from '../ui/Page';
import { byCoordinator, type Draft } from './rerun';
import type { FormProps } from './Selection';

/** How what was found is rerun: which nodes, with which properties, in which order, how many at once. */
export function RerunOptions({ draft, set, error, children }: FormProps & { children: ReactNode }) {
  const at = `selections.0.selection.${draft.kind}.rerun`;
  return (
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
            error={error('nodes', `${at}.nodes`)}
            onChange={(nodes) => set({ nodes })}
          />
        )}
        {byCoordinator(draft) && (
          <>
            <Checkbox
              label="Delete outputs first"
              description="Without it, outputs are kept. The preview lists each directory that would be deleted, and asks."
              checked={draft.cleanUp}
              error={error('cleanUp', `${at}.clean_up`)}
              onChange={(event) => set({ cleanUp: event.currentTarget.checked })}
            />
            <Checkbox
              label="Look up the input datasets again"
              checked={draft.refresh}
              error={error('refresh', `${at}.refresh`)}
              onChange={(event) => set({ refresh: event.currentTarget.checked })}
            />
          </>
        )}
        <Textarea
          label="Properties to override"
          description="One name=value a line; all others stay as they are in Oozie"
          placeholder="retries=3"
          autosize
          minRows={2}
          maxRows={8}
          value={draft.properties}
          error={error('properties', `${at}.properties`)}
          onChange={(event) => set({ properties: event.currentTarget.value })}
        />
        <Select
          label="Order"
          allowDeselect={false}
          value={draft.order}
          data={[
            { value: 'oldest_first', label: 'oldest first' },
            { value: 'newest_first', label: 'newest first' },
          ]}
          error={error('order', 'rules.order')}
          onChange={(value) => set({ order: value as Draft['order'] })}
        />
        <RuleFields
          draft={draft.rules}
          set={(part) => set({ rules: { ...draft.rules, ...part } })}
          errorAt={(field) => error('rules', `rules.${field}`)}
        />
        <TextInput
          label="Name"
          description="Empty: made of the ids"
          maxLength={200}
          value={draft.name}
          error={error('name', 'name')}
          onChange={(event) => set({ name: event.currentTarget.value })}
        />
        <TextInput
          label="Reason"
          maxLength={1000}
          value={draft.reason}
          error={error('reason', 'reason')}
          onChange={(event) => set({ reason: event.currentTarget.value })}
        />
        {children}
      </Stack>
    </Part>
  );
}
