import { MultiSelect, PasswordInput, TextInput } from '@mantine/core';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { FormButton } from '../ui/FormButton';
import { useAction } from '../ui/useAction';

type Use = Schemas['SecretSetInput']['uses'][number];
const EMPTY = { name: '', value: '', description: '', uses: ['work'] as Use[] };

/** Keep a value under a name, over an older one if there is one. It can never be read again here. */
export function SetSecret() {
  const { act, busy } = useAction();
  const [typed, setTyped] = useState(EMPTY);
  const set = (part: Partial<typeof EMPTY>) => setTyped((old) => ({ ...old, ...part }));
  const run = async () => {
    const { name, ...body } = typed;
    const ok = await act('The secret is kept', () =>
      http.PUT('/api/v1/secrets/{name}', { params: { path: { name } }, body }),
    );
    if (ok) setTyped(EMPTY);
    return ok;
  };
  return (
    <FormButton label="Set a secret" submit="Save" busy={busy} run={run}>
      <TextInput
        label="Name"
        description="Written as secret://NAME in definitions"
        required
        data-autofocus
        value={typed.name}
        onChange={(event) => set({ name: event.currentTarget.value })}
      />
      <PasswordInput
        label="Value"
        required
        autoComplete="off"
        value={typed.value}
        onChange={(event) => set({ value: event.currentTarget.value })}
      />
      <MultiSelect
        label="For"
        required
        data={['work', 'engine', 'channel']}
        value={typed.uses}
        onChange={(uses) => set({ uses: uses as Use[] })}
      />
      <TextInput
        label="Description"
        value={typed.description}
        onChange={(event) => set({ description: event.currentTarget.value })}
      />
    </FormButton>
  );
}
