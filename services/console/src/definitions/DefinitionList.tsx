import { useNavigate } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { Empty, type Query } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import type { Columns } from '../ui/DataTable';
import { ListPart } from '../ui/ListPart';
import { Page } from '../ui/Page';
import { NewDefinition } from './Editor';
import { pageOf, type DefinitionKind } from './kinds';

type Props<T> = {
  kind: DefinitionKind;
  title: string;
  words: string;
  /** Of the button that makes one. */
  make: string;
  query: Query<{ items: T[] }>;
  columns: Columns<T>;
  empty: { title: string; words: ReactNode };
};

/** The list of all saved things of one kind, and where one makes another. */
export function DefinitionList<T extends { id: string }>({
  kind,
  title,
  words,
  make,
  query,
  columns,
  empty,
}: Props<T>) {
  const navigate = useNavigate();
  return (
    <Page
      title={title}
      words={words}
      actions={
        <>
          <NewDefinition kind={kind} label={make} done={(id) => void navigate({ to: pageOf(kind), params: { id } })} />
          <CopyMenu cli={`signalbox ${kind} list`} path={`/api/v1/${kind}s`} json={query.data} />
        </>
      }
    >
      <ListPart
        query={query}
        columns={columns}
        label={title}
        idOf={(one) => one.id}
        empty={<Empty title={empty.title}>{empty.words}</Empty>}
      />
    </Page>
  );
}
