import { Button, Checkbox, Modal } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { $api, http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { Answer, Empty } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { CopyMenu } from '../ui/Copy';
import type { Columns } from '../ui/DataTable';
import { Json } from '../ui/Json';
import { ListPart } from '../ui/ListPart';
import { Page } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { useList } from '../ui/useList';

type Letter = Schemas['DeadLetterEntry'];

export function DeadLetters() {
  const query = useList('/api/v1/dead-letters', { limit: 100 });
  const may = useMay();
  const { act } = useAction();
  const [ticked, setChosen] = useState<string[]>([]);
  // somebody else may have dealt with some of them meanwhile: only what is there, and parked, is acted on
  const parked = new Set((query.data?.items ?? []).filter((one) => one.state === 'PARKED').map((one) => one.id));
  const chosen = ticked.filter((id) => parked.has(id));
  const toggle = (id: string) =>
    setChosen((old) => (old.includes(id) ? old.filter((one) => one !== id) : [...old, id]));
  const columns: Columns<Letter> = [
    {
      header: 'Choose',
      id: 'choose',
      enableSorting: false,
      cell: ({ row: { original: one } }) =>
        one.state === 'PARKED' && may('dead_letter.operate') ? (
          <Checkbox aria-label={`Choose ${one.id}`} checked={chosen.includes(one.id)} onChange={() => toggle(one.id)} />
        ) : null,
    },
    { header: 'Parked', accessorKey: 'parked_at', cell: ({ row }) => <Time at={row.original.parked_at} /> },
    {
      header: 'State',
      accessorKey: 'state',
      cell: ({ row }) => <StateBadge kind="DeadLetterState" state={row.original.state} />,
    },
    { header: 'Service', accessorKey: 'service' },
    { header: 'From', id: 'topic', accessorFn: (one) => `${one.topic} ${one.partition}:${one.offset}` },
    { header: 'Type', id: 'type', meta: { wide: true }, accessorFn: (one) => one.event_type ?? '–' },
    { header: 'Error', accessorKey: 'error' },
    {
      header: 'More',
      id: 'more',
      enableSorting: false,
      cell: ({ row }) => <LetterDetails id={row.original.id} />,
    },
  ];
  const done = () => setChosen([]);
  return (
    <Page
      title="Dead letters"
      words="Messages that could not be handled, put aside; nothing is lost"
      actions={
        <>
          {chosen.length > 0 && (
            <>
              <Ask
                label={`Redrive ${chosen.length}`}
                variant="filled"
                words="Each goes again to the one handler that failed."
                run={async (reason) => {
                  const ok = await act('Redrive requested', () =>
                    http.POST('/api/v1/dead-letters/redrive', { body: { ids: chosen, reason } }),
                  );
                  if (ok) done();
                  return ok;
                }}
              />
              <Ask
                label={`Drop ${chosen.length}`}
                color="red"
                needsReason
                words="They are never handled. This cannot be taken back."
                run={async (reason) => {
                  const ok = await act('Drop requested', () =>
                    http.POST('/api/v1/dead-letters/drop', { body: { ids: chosen, reason } }),
                  );
                  if (ok) done();
                  return ok;
                }}
              />
            </>
          )}
          <CopyMenu cli="signalbox dead-letter list" path="/api/v1/dead-letters" json={query.data} />
        </>
      }
    >
      <ListPart
        query={query}
        columns={columns}
        label="Dead letters"
        idOf={(one) => one.id}
        empty={
          <Empty title="No dead letter">
            Every message was handled. One that cannot be appears here, with its error.
          </Empty>
        }
      />
    </Page>
  );
}

/** Its headers, and the beginning of its value. */
function LetterDetails({ id }: { id: string }) {
  const [opened, { open, close }] = useDisclosure(false);
  const query = $api.useQuery('get', '/api/v1/dead-letters/{id}', { params: { path: { id } } }, { enabled: opened });
  return (
    <>
      <Button size="compact-xs" variant="default" aria-label={`All of ${id}`} onClick={open}>
        Show
      </Button>
      <Modal opened={opened} onClose={close} title="Dead letter" size="xl">
        <Answer query={query}>{(found) => <Json value={found} label="Dead letter" />}</Answer>
      </Modal>
    </>
  );
}
