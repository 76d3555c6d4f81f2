import { Link } from '@tanstack/react-router';
import type { Schemas } from '../api/client';
import { Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import type { Columns } from '../ui/DataTable';
import { ListPart } from '../ui/ListPart';
import { Page } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';
import { useList } from '../ui/useList';
import { StartReprocessing } from './StartReprocessing';

type Job = Schemas['ReprocessingJob'];

const sourceOf = (job: Job) => String(job.config['s3_path'] ?? job.config['local_path'] ?? job.id);

const COLUMNS: Columns<Job> = [
  {
    header: 'Files of',
    id: 'source',
    accessorFn: sourceOf,
    cell: ({ row: { original: job } }) => (
      <Link to="/reprocessing/$id" params={{ id: job.id }}>
        <span className="clip">{sourceOf(job)}</span>
      </Link>
    ),
  },
  {
    header: 'State',
    accessorKey: 'status',
    cell: ({ row }) => <StateBadge kind="ReprocessingStatus" state={row.original.status} />,
  },
  {
    header: 'Files',
    id: 'files',
    accessorFn: (job) => `${job.processed_files.toLocaleString('en')} of ${job.total_files.toLocaleString('en')}`,
    cell: ({ getValue }) => <span className="nowrap">{String(getValue())}</span>,
  },
  { header: 'Sent', id: 'sent', accessorFn: (job) => job.success_count },
  { header: 'Errors', id: 'errors', accessorFn: (job) => job.error_count },
  { header: 'Ledger', id: 'balanced', accessorFn: (job) => (job.balanced ? 'balances' : 'not yet') },
  { header: 'Requested', accessorKey: 'created_at', cell: ({ row }) => <Time at={row.original.created_at} /> },
];

export function Reprocessing() {
  const query = useList('/api/admin/reprocessing/jobs', { limit: 50 });
  return (
    <Page
      title="Reprocessing"
      words="Files of events sent again, each event exactly counted"
      actions={
        <>
          <StartReprocessing />
          <CopyMenu cli="signalbox reprocess list" path="/api/admin/reprocessing/jobs" json={query.data} />
        </>
      }
    >
      <ListPart
        query={query}
        columns={COLUMNS}
        label="Reprocessing"
        idOf={(job) => job.id}
        empty={
          <Empty title="Nothing was sent again yet">
            Name a folder or an S3 path with files of events; try <code>make demo-reprocessing</code>.
          </Empty>
        }
      />
    </Page>
  );
}
