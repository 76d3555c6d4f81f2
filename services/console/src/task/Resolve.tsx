import { Radio, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { Ask } from '../ui/Ask';
import { useAction } from '../ui/useAction';

/** A task nobody can tell about: somebody looked at the engine and says what is true. */
export function Resolve({ task }: { task: Schemas['Task'] }) {
  const { act } = useAction();
  const [action, setAction] = useState<'adopt' | 'retry' | 'fail'>('adopt');
  const [handle, setHandle] = useState('');
  const body = (reason: string) => ({
    action,
    attempt: task.attempt,
    reason,
    ...(action === 'adopt' && handle ? { handle } : {}),
  });
  return (
    <Ask
      label="Resolve"
      variant="filled"
      needsReason
      title="What does the engine show?"
      words={`Attempt ${task.attempt} with run key ${task.run_key ?? 'unknown'} has an unknown end. Look at the engine first.`}
      run={(reason) =>
        act('Resolve requested', () =>
          http.POST('/api/v1/tasks/{id}/resolve', { params: { path: { id: task.id } }, body: body(reason) }),
        )
      }
    >
      <Radio.Group label="It is" value={action} onChange={(value) => setAction(value as typeof action)}>
        <Stack gap={6} mt={4}>
          <Radio value="adopt" label="there: go on with that run" />
          <Radio value="retry" label="not there: try again" />
          <Radio value="fail" label="not to be tried again: it failed" />
        </Stack>
      </Radio.Group>
      {action === 'adopt' && (
        <TextInput
          label="The engine's name for it"
          value={handle}
          onChange={(event) => setHandle(event.currentTarget.value)}
        />
      )}
    </Ask>
  );
}
