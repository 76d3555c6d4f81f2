import { http } from '../api/client';
import { useMay } from '../session/me';
import { Empty } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { CopyMenu } from '../ui/Copy';
import { ListPart } from '../ui/ListPart';
import { Page } from '../ui/Page';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { useList } from '../ui/useList';
import { NewFreeze } from './NewFreeze';

/** When nothing new may start, where, and why. */
export function FreezesPage() {
  const query = useList('/api/v1/freezes', { limit: 100 });
  const may = useMay();
  const { act } = useAction();
  return (
    <Page
      title="Freezes"
      words="While one holds, nothing new starts in its places; what waits keeps its turn"
      actions={
        <>
          {may('freeze.write') && <NewFreeze />}
          <CopyMenu cli="signalbox freeze list" path="/api/v1/freezes" json={query.data} />
        </>
      }
    >
      <ListPart
        query={query}
        label="Freezes"
        idOf={(one) => one.id}
        empty={<Empty title="Nothing is frozen">Freeze before maintenance, a release or the end of the month.</Empty>}
        columns={[
          { header: 'Freeze', id: 'name', accessorFn: (one) => one.name || one.id },
          { header: 'Phase', id: 'phase', accessorFn: (one) => one.state?.phase ?? '–' },
          { header: 'Mode', accessorKey: 'mode' },
          {
            header: 'Where',
            id: 'where',
            accessorFn: (one) =>
              [...one.engines.map((name) => `engine ${name}`), ...one.projects.map((name) => `project ${name}`)].join(
                ', ',
              ) || 'everywhere',
          },
          { header: 'Reason', accessorKey: 'reason' },
          { header: 'By', accessorKey: 'author' },
          {
            header: 'Until',
            id: 'until',
            cell: ({ row }) => <Time at={row.original.state?.until_at ?? row.original.ends_at} exact />,
          },
          { header: 'Next', id: 'next', cell: ({ row }) => <Time at={row.original.state?.next_at} exact /> },
          {
            header: 'Actions',
            id: 'do',
            enableSorting: false,
            cell: ({ row: { original: one } }) =>
              may('freeze.write') ? (
                <Ask
                  label="Lift"
                  takesReason={false}
                  title={`Lift ${one.name || one.id}`}
                  words="It ends; what waited for it starts."
                  run={() =>
                    act('Lifted', () => http.DELETE('/api/v1/freezes/{id}', { params: { path: { id: one.id } } }))
                  }
                />
              ) : null,
          },
        ]}
      />
    </Page>
  );
}
