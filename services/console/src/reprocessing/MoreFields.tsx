import { Group, NumberInput, Select, SimpleGrid, Stack, TagsInput, TextInput } from '@mantine/core';
import { $api } from '../api/client';
import type { Draft } from './draft';

type Props = {
  draft: Draft;
  set: (part: Partial<Draft>) => void;
  error: (field: keyof Draft, path: string) => string | undefined;
};

/** What is rarely changed: where to begin, how much, how fast, and on which engine. */
export function MoreFields({ draft, set, error }: Props) {
  const engines = $api.useQuery('get', '/api/v1/engines', { params: { query: { limit: 200 } } });
  const workers = (engines.data?.items ?? []).filter((one) => one.connection.kind === 'process').map((one) => one.id);
  type Number = 'startLine' | 'limit' | 'batchSize' | 'retries' | 'eventsPerSecond';
  const number = (field: Number, label: string, description: string, path: string) => (
    <NumberInput
      label={label}
      description={description}
      min={0}
      allowNegative={false}
      allowDecimal={field === 'eventsPerSecond'}
      value={draft[field]}
      error={error(field, path)}
      onChange={(value) => set({ [field]: value })}
    />
  );
  return (
    <details>
      <summary>More: where to begin, limits, speed, engine</summary>
      <Stack mt="xs">
        <TagsInput
          label="Files"
          description="Below the path; empty: all"
          value={draft.files}
          error={error('files', 'files')}
          onChange={(files) => set({ files })}
        />
        <Group grow align="flex-start">
          <TextInput
            label="First file"
            description="Earlier ones are left out"
            value={draft.startFile}
            error={error('startFile', 'start_file')}
            onChange={(event) => set({ startFile: event.currentTarget.value })}
          />
          {number('startLine', 'First line', 'Of the first file', 'start_line')}
        </Group>
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          {number('limit', 'Limit', 'Events; with a limit there is one worker', 'limit')}
          {number('batchSize', 'Batch size', 'Events a batch, at most 100,000', 'batch_size')}
          {number('retries', 'Retries', 'Of a batch, at most 100', 'retry_attempts')}
          {number('eventsPerSecond', 'Events per second', 'Of the job; empty: no limit', 'max_events_per_second')}
          <Select
            label="Files to workers"
            allowDeselect={false}
            data={[
              { value: 'modulo', label: 'in turn' },
              { value: 'balanced', label: 'by size' },
            ]}
            value={draft.distribution}
            error={error('distribution', 'distribution')}
            onChange={(value) => set({ distribution: value as Draft['distribution'] })}
          />
          <Select
            label="Engine"
            placeholder="the default"
            clearable
            data={workers}
            value={draft.engine}
            error={error('engine', 'engine')}
            onChange={(engine) => set({ engine })}
          />
        </SimpleGrid>
      </Stack>
    </details>
  );
}
