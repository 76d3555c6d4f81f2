import { PasswordInput, Select, TextInput } from '@mantine/core';
import { useState } from 'react';
import { http } from '../api/client';
import { FormButton } from '../ui/FormButton';
import { useAction } from '../ui/useAction';
import { ROLES, type Role } from './roles';

const EMPTY = { username: '', name: '', password: '', role: 'viewer' as Role };

/** An account for a person, with its first role. */
export function NewUser() {
  const { act, busy } = useAction();
  const [typed, setTyped] = useState(EMPTY);
  const set = (part: Partial<typeof EMPTY>) => setTyped((old) => ({ ...old, ...part }));
  const run = async () => {
    const ok = await act('The account is made', () => http.POST('/api/v1/users', { body: { ...typed, kind: 'user' } }));
    if (ok) setTyped(EMPTY);
    return ok;
  };
  return (
    <FormButton label="New account" submit="Create" busy={busy} run={run}>
      <TextInput
        label="User name"
        required
        data-autofocus
        maxLength={64}
        autoComplete="off"
        value={typed.username}
        onChange={(event) => set({ username: event.currentTarget.value })}
      />
      <TextInput
        label="Name"
        maxLength={200}
        value={typed.name}
        onChange={(event) => set({ name: event.currentTarget.value })}
      />
      <PasswordInput
        label="Password"
        required
        autoComplete="new-password"
        value={typed.password}
        onChange={(event) => set({ password: event.currentTarget.value })}
      />
      <Select
        label="Role"
        description="Everywhere; narrower roles are given below"
        allowDeselect={false}
        data={ROLES}
        value={typed.role}
        onChange={(role) => set({ role: role as Role })}
      />
    </FormButton>
  );
}
