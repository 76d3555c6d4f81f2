import { Tabs } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { Answer, type Query } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { Json } from '../ui/Json';
import { shown } from '../ui/names';
import { Page } from '../ui/Page';
import { DefinitionControls } from './DefinitionControls';
import { pagesOf, type DefinitionKind } from './kinds';
import { Versions } from './Versions';

type Definition = { name: string; version: number; updated_by: string; description: string; paused?: boolean };
export type DefinitionTab<T> = { id: string; label: string; show: (definition: T) => ReactNode };
type Props<T> = {
  kind: DefinitionKind;
  id: string;
  query: Query<T>;
  /** Beside the version and the description. */
  words?: ReactNode;
  /** What can be done with it, beside editing and deleting. */
  controls?: (definition: T) => ReactNode;
  /** Above the tabs. */
  children?: (definition: T) => ReactNode;
  tabs: DefinitionTab<T>[];
};

/** The page of something saved: its name, who changed it last, what can be done, its tabs, versions and JSON. */
export function DefinitionPage<T extends Definition>({ kind, id, query, words, controls, children, tabs }: Props<T>) {
  const navigate = useNavigate();
  const [tab, setTab] = useState<string | null>(tabs[0]?.id ?? 'versions');
  const saved = query.data;
  const all: DefinitionTab<T>[] = [
    ...tabs,
    { id: 'versions', label: 'Versions', show: (one) => <Versions kind={kind} id={id} newest={one.version} /> },
    { id: 'raw', label: 'JSON', show: (one) => <Json value={one} /> },
  ];
  return (
    <Page
      title={shown(saved?.name || id)}
      beside={saved?.paused ? <span className="state tone-warn">paused</span> : undefined}
      words={
        saved && (
          <>
            {words} version {saved.version} by {saved.updated_by}. {shown(saved.description)}
          </>
        )
      }
      actions={
        <>
          {saved && controls?.(saved)}
          {saved && <DefinitionControls kind={kind} id={id} gone={() => void navigate({ to: pagesOf(kind) })} />}
          <CopyMenu cli={`signalbox ${kind} show ${id}`} path={`/api/v1/${kind}s/${id}`} json={saved} />
        </>
      }
    >
      <Answer query={query}>
        {(found) => (
          <>
            {children?.(found)}
            <Tabs value={tab} onChange={setTab} keepMounted={false}>
              <Tabs.List mb="sm">
                {all.map((one) => (
                  <Tabs.Tab key={one.id} value={one.id}>
                    {one.label}
                  </Tabs.Tab>
                ))}
              </Tabs.List>
              {all.map((one) => (
                <Tabs.Panel key={one.id} value={one.id}>
                  {one.show(found)}
                </Tabs.Panel>
              ))}
            </Tabs>
          </>
        )}
      </Answer>
    </Page>
  );
}
