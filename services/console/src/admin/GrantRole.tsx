import { Select, TextInput } from '@mantine/core';
import { useState } from 'react';
import { http } from '../api/client';
import { FormButton } from '../ui/FormButton';
import { useAction } from '../ui/useAction';
import { ROLES, type Role } from './roles';

const EMPTY = { username: '', role: 'viewer' as Role, project: '', engine: '', reason: '' };

/** A role for an account, everywhere or for one project, one engine, or both. */
export function GrantRole() {
  const { act, busy } = useAction();
  const [typed, setTyped] = useState(EMPTY);
  const set = (part: Partial<typeof EMPTY>) => setTyped((old) => ({ ...old, ...part }));
  const run = async () => {
    const body = { ...typed, project: typed.project || '*', engine: typed.engine || '*' };
    const ok = await act('The role is granted', () => http.POST('/api/v1/bindings', { body }));
    if (ok) setTyped(EMPTY);
    return ok;
  };
  const field = (name: 'username' | 'project' | 'engine' | 'reason', label: string, description?: string) => (
    <TextInput
      label={label}
      description={description}
      required={name === 'username'}
      value={typed[name]}
      onChange={(event) => set({ [name]: event.currentTarget.value })}
    />
  );
  return (
    <FormButton label="Grant a role" submit="Grant" busy={busy} run={run}>
      {field('username', 'User name')}
      <Select
        label="Role"
        allowDeselect={false}
        data={ROLES}
        value={typed.role}
        onChange={(role) => set({ role: role as Role })}
      />
      {field('project', 'Project', 'Empty: all')}
      {field('engine', 'Engine', 'Empty: all')}
      {field('reason', 'Reason', 'Kept in the audit trail')}
    </FormButton>
  );
}
