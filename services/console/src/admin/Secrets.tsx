import { $api, http } from '../api/client';
import { useMay } from '../session/me';
import { Ask } from '../ui/Ask';
import { useAction } from '../ui/useAction';
import { SetSecret } from './SetSecret';
import { Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { ListPart } from '../ui/ListPart';
import { Page } from '../ui/Page';
import { Time } from '../ui/Time';

/** Names of secrets. Their values are never shown, not here and nowhere else. */
export function Secrets() {
  const may = useMay();
  const { act } = useAction();
  const query = $api.useQuery('get', '/api/v1/secrets');
  return (
    <Page
      title="Secrets"
      words="Names only: values never leave the vault but to where they are used"
      actions={
        <>
          {may('secret.write') && <SetSecret />}
          <CopyMenu cli="signalbox secret list" path="/api/v1/secrets" />
        </>
      }
    >
      <ListPart
        query={query}
        label="Secrets"
        idOf={(one) => one.name}
        empty={
          <Empty title="No secret yet">
            Set one: <code>signalbox secret set NAME</code>; then write <code>secret://NAME</code> in a definition.
          </Empty>
        }
        columns={[
          { header: 'Name', accessorKey: 'name', cell: ({ row }) => <code>{row.original.name}</code> },
          { header: 'For', id: 'uses', accessorFn: (one) => one.uses.join(', ') },
          { header: 'Description', id: 'description', accessorFn: (one) => one.description || '–' },
          { header: 'Version', accessorKey: 'version' },
          { header: 'Changed', accessorKey: 'updated_at', cell: ({ row }) => <Time at={row.original.updated_at} /> },
          { header: 'By', accessorKey: 'updated_by' },
          {
            header: 'Actions',
            id: 'do',
            enableSorting: false,
            cell: ({ row: { original: one } }) =>
              may('secret.write') ? (
                <Ask
                  label="Delete"
                  takesReason={false}
                  color="red"
                  title={`Delete ${one.name}`}
                  words="Its value cannot be restored. A secret that a definition still names is not deleted."
                  run={() =>
                    act('Deleted', () =>
                      http.DELETE('/api/v1/secrets/{name}', { params: { path: { name: one.name } } }),
                    )
                  }
                />
              ) : null,
          },
        ]}
      />
    </Page>
  );
}
