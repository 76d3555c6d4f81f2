import { Tabs } from '@mantine/core';
import { useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { $api } from '../api/client';
import { DefinitionControls } from '../definitions/DefinitionControls';
import { Versions } from '../definitions/Versions';
import { Answer } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { Facts, Json } from '../ui/Json';
import { shown } from '../ui/names';
import { Page, Part } from '../ui/Page';
import { StartForm } from './StartForm';
import { TargetRuns } from './TargetRuns';

/** One job: what it does and where, its runs, and who changed it when. */
export function JobPage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/jobs/{id}', { params: { path: { id } } });
  const navigate = useNavigate();
  const [tab, setTab] = useState<string | null>('runs');
  const job = query.data;
  return (
    <Page
      title={shown(job?.name || id)}
      words={job && `version ${job.version} by ${job.updated_by}. ${shown(job.description)}`}
      actions={
        <>
          {job && <StartForm kind="job" id={id} name={job.name || id} params={job.params} />}
          {job && <DefinitionControls kind="job" id={id} gone={() => void navigate({ to: '/jobs' })} />}
          <CopyMenu cli={`signalbox job show ${id}`} path={`/api/v1/jobs/${id}`} json={job} />
        </>
      }
    >
      <Answer query={query}>
        {(found) => (
          <>
            <Part title="Work">
              <Facts
                rows={[
                  ['Kind', found.work.kind],
                  ['Engine', found.engine ?? 'the engine of its kind'],
                  ['Attempts', found.retries.max_attempts ?? 1],
                  ['Project', found.project],
                ]}
              />
              <Json value={found.work} label="Work" />
            </Part>
            <Tabs value={tab} onChange={setTab} keepMounted={false}>
              <Tabs.List mb="sm">
                <Tabs.Tab value="runs">Runs</Tabs.Tab>
                <Tabs.Tab value="versions">Versions</Tabs.Tab>
                <Tabs.Tab value="raw">JSON</Tabs.Tab>
              </Tabs.List>
              <Tabs.Panel value="runs">
                <TargetRuns target={`job:${id}`} />
              </Tabs.Panel>
              <Tabs.Panel value="versions">
                <Versions kind="job" id={id} newest={found.version} />
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
