import { Badge } from '@mantine/core';
import { http } from '../api/client';
import { useMay } from '../session/me';
import { Empty } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { ListPart } from '../ui/ListPart';
import { CopyMenu } from '../ui/Copy';
import { Page, Part } from '../ui/Page';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { useList } from '../ui/useList';
import { GrantRole } from './GrantRole';
import { NewKey } from './NewKey';
import { NewUser } from './NewUser';

/** Accounts and their roles for administrators; everybody's own keys. */
export function Users() {
  const may = useMay();
  return (
    <Page
      title="Users and keys"
      words="Who may come in, as what, and with which keys"
      actions={<CopyMenu cli="signalbox key list" path="/api/v1/keys" />}
    >
      {may('user.read') && <Accounts />}
      {may('binding.read') && <Roles />}
      <Keys />
    </Page>
  );
}

function Accounts() {
  const query = useList('/api/v1/users', { limit: 200 });
  const may = useMay();
  const { act } = useAction();
  return (
    <Part title="Accounts" beside={may('user.write') && <NewUser />}>
      <ListPart
        query={query}
        label="Accounts"
        idOf={(one) => one.id}
        empty={
          <Empty title="No account">
            Make one with New account, or type <code>signalbox user create NAME</code>.
          </Empty>
        }
        columns={[
          { header: 'User name', accessorKey: 'username' },
          { header: 'Name', accessorKey: 'name' },
          { header: 'Kind', accessorKey: 'kind' },
          { header: 'Since', accessorKey: 'created_at', cell: ({ row }) => <Time at={row.original.created_at} /> },
          { header: 'State', id: 'disabled', accessorFn: (one) => (one.disabled ? 'disabled' : 'in use') },
          {
            header: 'Actions',
            id: 'do',
            enableSorting: false,
            cell: ({ row: { original: one } }) =>
              may('user.write') ? (
                <Ask
                  label={one.disabled ? 'Enable' : 'Disable'}
                  title={`${one.disabled ? 'Enable' : 'Disable'} ${one.username}`}
                  words={
                    one.disabled
                      ? 'The account may sign in again.'
                      : 'Its sessions and keys stop working within seconds.'
                  }
                  run={(reason) =>
                    act('Changed', () =>
                      http.PUT('/api/v1/users/{username}', {
                        params: { path: { username: one.username } },
                        body: { disabled: !one.disabled, reason },
                      }),
                    )
                  }
                />
              ) : null,
          },
        ]}
      />
    </Part>
  );
}

function Roles() {
  const may = useMay();
  const { act } = useAction();
  const query = useList('/api/v1/bindings', { limit: 200 });
  return (
    <Part title="Roles" beside={may('binding.write') && <GrantRole />}>
      <ListPart
        query={query}
        label="Roles"
        idOf={(one) => one.id}
        empty={
          <Empty title="Nobody has a role">Give one with Grant a role: without a role an account may do nothing.</Empty>
        }
        columns={[
          { header: 'User name', accessorKey: 'username' },
          {
            header: 'Role',
            accessorKey: 'role',
            cell: ({ row }) => <Badge variant="default">{row.original.role}</Badge>,
          },
          { header: 'Project', id: 'project', accessorFn: (one) => (one.project === '*' ? 'all' : one.project) },
          { header: 'Engine', id: 'engine', accessorFn: (one) => (one.engine === '*' ? 'all' : one.engine) },
          { header: 'Granted by', accessorKey: 'created_by' },
          {
            header: 'Actions',
            id: 'do',
            enableSorting: false,
            cell: ({ row: { original: one } }) =>
              may('binding.write') ? (
                <Ask
                  label="Revoke"
                  takesReason={false}
                  color="red"
                  title={`Revoke ${one.role} of ${one.username}`}
                  words="Holds within seconds, for sessions and keys alike."
                  run={() =>
                    act('Revoked', () => http.DELETE('/api/v1/bindings/{id}', { params: { path: { id: one.id } } }))
                  }
                />
              ) : null,
          },
        ]}
      />
    </Part>
  );
}

function Keys() {
  const query = useList('/api/v1/keys', { limit: 200 });
  const may = useMay();
  const { act } = useAction();
  return (
    <Part title="Keys" beside={may('key.write') && <NewKey />}>
      <ListPart
        query={query}
        label="Keys"
        idOf={(one) => one.id}
        empty={<Empty title="No key yet">Programs and the command line sign in with a key: make one for each.</Empty>}
        columns={[
          { header: 'Label', id: 'label', accessorFn: (one) => one.label || '–' },
          { header: 'Of', accessorKey: 'username' },
          {
            header: 'May',
            id: 'scopes',
            accessorFn: (one) => (one.scopes.includes('*') ? 'all its account may' : one.scopes.join(', ')),
          },
          { header: 'Last used', id: 'used', cell: ({ row }) => <Time at={row.original.last_used_at} /> },
          { header: 'Expires', id: 'expires', cell: ({ row }) => <Time at={row.original.expires_at} /> },
          {
            header: 'Actions',
            id: 'do',
            enableSorting: false,
            cell: ({ row: { original: one } }) =>
              one.revoked_at ? (
                'revoked'
              ) : may('key.write') ? (
                <Ask
                  label="Revoke"
                  takesReason={false}
                  color="red"
                  title={`Revoke ${one.label || one.id}`}
                  words="Whatever signs in with it is refused within seconds."
                  run={() =>
                    act('Revoked', () => http.DELETE('/api/v1/keys/{id}', { params: { path: { id: one.id } } }))
                  }
                />
              ) : null,
          },
        ]}
      />
    </Part>
  );
}
