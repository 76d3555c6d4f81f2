import { Link, useParams } from '@tanstack/react-router';
import { $api, http, type Schemas } from '../api/client';
import { every } from '../live/connection';
import { useMay } from '../session/me';
import { Answer, Empty } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { CopyMenu } from '../ui/Copy';
import { DataTable } from '../ui/DataTable';
import { Facts } from '../ui/Json';
import { Meter } from '../ui/Meter';
import { Page, Part } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Time, Took } from '../ui/Time';
import { BadLines } from './BadLines';
import { useAction } from '../ui/useAction';

type Job = Schemas['ReprocessingJob'];
const many = (count: number) => count.toLocaleString('en');

export function ReprocessingPage() {
  const { id = '' } = useParams({ strict: false });
  const path = { params: { path: { id } } };
  const query = $api.useQuery('get', '/api/admin/reprocessing/jobs/{id}', path, { refetchInterval: every(3_000) });
  const may = useMay();
  const { act } = useAction();
  const job = query.data;
  const runs = job && ['pending', 'running'].includes(job.status);
  return (
    <Page
      title={job ? String(job.config['s3_path'] ?? job.config['local_path'] ?? id) : id}
      beside={job && <StateBadge kind="ReprocessingStatus" state={job.status} />}
      words={
        job && (
          <>
            requested by {job.actor} <Time at={job.created_at} /> ·{' '}
            <Link className="link" to="/runs/$id" params={{ id: job.plan_id }}>
              its run, with tasks
            </Link>{' '}
            ·{' '}
            <Link className="link" to="/reprocessing/$id/logs" params={{ id }}>
              logs of its workers
            </Link>
          </>
        )
      }
      actions={
        <>
          {runs && may('reprocessing.control') && (
            <Ask
              label="Cancel"
              color="red"
              words="Workers stop after the batch they are at; what was sent stays counted."
              run={(reason) =>
                act('Cancel requested', () =>
                  http.POST('/api/admin/reprocessing/jobs/{id}/cancel', { ...path, body: { reason } }),
                )
              }
            />
          )}
          {job && ['failed', 'cancelled'].includes(job.status) && may('reprocessing.start') && (
            <Ask
              label="Retry what failed"
              variant="filled"
              run={(reason) =>
                act('Started again', () =>
                  http.POST('/api/admin/reprocessing/jobs/{id}/retry', { ...path, body: { reason } }),
                )
              }
            />
          )}
          <CopyMenu cli={`signalbox reprocess show ${id}`} path={`/api/admin/reprocessing/jobs/${id}`} json={job} />
        </>
      }
    >
      <Answer query={query}>{(found) => <Body job={found} />}</Answer>
      <Workers id={id} />
      {job && job.error_count > 0 && may('reprocessing.samples') && <BadLines id={id} runs={runs === true} />}
    </Page>
  );
}

function Body({ job }: { job: Job }) {
  const files = {
    total: job.total_files,
    succeeded: job.processed_files - job.failed_files,
    failed: job.failed_files,
    waiting: job.total_files - job.processed_files,
  };
  return (
    <>
      <Part title="Files">
        <Meter counts={files} words />
        {job.error && <p className="why">{job.error}</p>}
        <Facts
          rows={[
            ['Lines read', many(job.total_lines)],
            ['Sent', many(job.success_count)],
            ['Left out', many(job.skipped_count)],
            ['Errors', many(job.error_count)],
            ['Ledger', job.balanced ? 'balances: read = sent + left out + errors' : 'does not balance yet'],
            ['Took', <Took key="t" from={job.started_at} to={job.completed_at} />],
            ['Now at', job.current_file ? `${job.current_file}, line ${many(job.current_line)}` : null],
          ]}
        />
      </Part>
      {job.failures.length > 0 && (
        <Part title="Files that failed">
          <DataTable
            label="Files that failed"
            rows={job.failures}
            idOf={(one) => one.path}
            columns={[
              { header: 'File', accessorKey: 'path' },
              { header: 'Line', accessorKey: 'line' },
              { header: 'Error', accessorKey: 'error' },
            ]}
          />
        </Part>
      )}
    </>
  );
}

function Workers({ id }: { id: string }) {
  const query = $api.useQuery(
    'get',
    '/api/admin/reprocessing/jobs/{id}/workers',
    { params: { path: { id } } },
    { refetchInterval: every(3_000) },
  );
  return (
    <Part title="Workers">
      <Answer query={query}>
        {({ workers }) =>
          workers.length ? (
            <DataTable
              label="Workers"
              rows={workers}
              idOf={(one) => String(one.worker_index)}
              columns={[
                { header: 'Worker', accessorKey: 'worker_index' },
                {
                  header: 'State',
                  accessorKey: 'status',
                  cell: ({ row }) => <StateBadge kind="ReprocessingStatus" state={row.original.status} />,
                },
                {
                  header: 'Files',
                  id: 'files',
                  accessorFn: (one) => `${many(one.processed_files)} of ${many(one.assigned_files)}`,
                },
                { header: 'Sent', accessorKey: 'success_count' },
                { header: 'Errors', accessorKey: 'error_count' },
                { header: 'Now at', id: 'file', accessorFn: (one) => one.current_file ?? '–' },
                { header: 'Reported', id: 'updated', cell: ({ row }) => <Time at={row.original.updated_at} /> },
              ]}
            />
          ) : (
            <Empty title="No worker yet">They appear when the files have been dealt out.</Empty>
          )
        }
      </Answer>
    </Part>
  );
}
