import { Tabs } from '@mantine/core';
import { useNavigate, useParams, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { $api } from '../api/client';
import { DefinitionControls } from '../definitions/DefinitionControls';
import { Versions } from '../definitions/Versions';
import { Answer } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { Facts, Json } from '../ui/Json';
import { shown } from '../ui/names';
import { Page, Part } from '../ui/Page';
import { Time } from '../ui/Time';
import { DryRun } from './DryRun';
import { matches } from './matches';

/** One trigger: what it matches and starts, tried on the newest events, and who changed it when. */
export function TriggerPage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/triggers/{id}', { params: { path: { id } } });
  const navigate = useNavigate();
  const [tab, setTab] = useState<string | null>('try');
  const trigger = query.data;
  return (
    <Page
      title={shown(trigger?.name || id)}
      beside={trigger?.paused ? <span className="state tone-warn">paused</span> : undefined}
      words={trigger && `version ${trigger.version} by ${trigger.updated_by}. ${shown(trigger.description)}`}
      actions={
        <>
          {trigger && <DefinitionControls kind="trigger" id={id} gone={() => void navigate({ to: '/triggers' })} />}
          <CopyMenu cli={`signalbox trigger show ${id}`} path={`/api/v1/triggers/${id}`} json={trigger} />
        </>
      }
    >
      <Answer query={query}>
        {(found) => (
          <>
            <Part title="Rule">
              <Facts
                rows={[
                  ['Matches', matches(found)],
                  ['Starts', `${found.target.kind} ${found.target.id}`],
                  ['Waits for quiet', found.debounce_seconds ? `${found.debounce_seconds} s` : 'no'],
                  ['If the one before still runs', found.overlap.replace('_', ' ')],
                  ['Matched', found.state?.matched ?? 0],
                  ['Did not match', found.state?.not_matched ?? 0],
                  ['Last matched', <Time key="l" at={found.state?.last_matched_at} />],
                  [
                    'Events',
                    <Link key="e" className="link" to="/events" search={{ trigger: id }}>
                      what came in
                    </Link>,
                  ],
                ]}
              />
            </Part>
            <Tabs value={tab} onChange={setTab} keepMounted={false}>
              <Tabs.List mb="sm">
                <Tabs.Tab value="try">Try on past events</Tabs.Tab>
                <Tabs.Tab value="versions">Versions</Tabs.Tab>
                <Tabs.Tab value="raw">JSON</Tabs.Tab>
              </Tabs.List>
              <Tabs.Panel value="try">
                <DryRun id={id} />
              </Tabs.Panel>
              <Tabs.Panel value="versions">
                <Versions kind="trigger" id={id} newest={found.version} />
              </Tabs.Panel>
              <Tabs.Panel value="raw">
                <Json value={found} />
              </Tabs.Panel>
            </Tabs>
          </>
        )}
      </Answer>
    </Page>
  );
}
