import { Text } from '@mantine/core';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useDeferredValue, useMemo, useState } from 'react';
import { $api } from '../api/client';
import { every } from '../live/connection';
import { Answer, Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { Page, Part } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { LogControls, type Mode } from './LogControls';
import { LogLines } from './LogLines';
import { useWorkerLogs } from './useWorkerLogs';
import { chronological, linesOf, type Line } from './workerLogs';

const route = getRouteApi('/reprocessing/$id/logs');

type Box = { key: string; label: string; lines: Line[]; error: string | null };

/** The logs of a job's workers, one box a worker or all in the order of their times. */
export function ReprocessingLogs() {
  const { id } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [paused, setPaused] = useState(false);
  const [follows, setFollows] = useState(true);
  const [text, setText] = useState('');
  const [hit, setHit] = useState(-1);
  const job = $api.useQuery(
    'get',
    '/api/admin/reprocessing/jobs/{id}',
    { params: { path: { id } } },
    { refetchInterval: every(3_000) },
  );
  const runs = !job.data || ['pending', 'running'].includes(job.data.status);
  const { workers, query } = useWorkerLogs(id, runs, paused);
  const mode: Mode = search.order === 'time' ? 'time' : 'worker';
  const boxes: Box[] = useMemo(
    () =>
      mode === 'time'
        ? [{ key: 'all', label: 'Log of all workers', lines: chronological(workers), error: null }]
        : workers.map((one) => ({
            key: String(one.index),
            label: `Log of worker ${one.index}`,
            lines: linesOf(one),
            error: one.error,
          })),
    [mode, workers],
  );
  const wanted = useDeferredValue(text).trim().toLowerCase();
  const hits = useMemo(
    () =>
      wanted
        ? boxes.flatMap((box) =>
            box.lines.flatMap((line, at) => (line.text.toLowerCase().includes(wanted) ? [{ box: box.key, at }] : [])),
          )
        : [],
    [boxes, wanted],
  );
  const jump = (by: number) => {
    if (!hits.length) return;
    setFollows(false);
    setHit((hit + by + hits.length) % hits.length);
  };
  const target = hits[hit];
  return (
    <Page
      title="Logs of workers"
      beside={job.data && <StateBadge kind="ReprocessingStatus" state={job.data.status} />}
      words={
        <>
          of{' '}
          <Link className="link" to="/reprocessing/$id" params={{ id }}>
            {String(job.data?.config['s3_path'] ?? job.data?.config['local_path'] ?? id)}
          </Link>
          {!runs ? ' · complete' : paused ? ' · paused' : ' · read again every 2 s'}
        </>
      }
      actions={
        <CopyMenu cli={`signalbox reprocess logs ${id} --sort`} path={`/api/admin/reprocessing/jobs/${id}/logs`} />
      }
    >
      <LogControls
        mode={mode}
        onMode={(order) => void navigate({ search: { order: order === 'time' ? order : undefined }, replace: true })}
        text={text}
        onText={(value) => {
          setText(value);
          setHit(-1);
        }}
        hits={hits.length}
        onJump={jump}
        follows={follows}
        onFollows={setFollows}
        paused={paused}
        onPaused={setPaused}
        runs={runs}
      />
      <Answer query={query}>
        {() =>
          workers.length ? (
            boxes.map((box) => {
              const view = (
                <LogLines
                  label={box.label}
                  lines={box.lines}
                  badges={mode === 'time'}
                  follows={follows && !paused}
                  wanted={wanted}
                  at={target?.box === box.key ? target.at : undefined}
                />
              );
              return mode === 'time' ? (
                <div key={box.key}>{view}</div>
              ) : (
                <Part key={box.key} title={`[W${box.key}] ${box.lines.length.toLocaleString('en')} lines`}>
                  {box.error && (
                    <Text size="sm" c="dimmed">
                      {box.error}
                    </Text>
                  )}
                  {box.lines.length > 0 && view}
                </Part>
              );
            })
          ) : (
            <Empty title="No worker yet">Their logs appear when the files have been dealt out.</Empty>
          )
        }
      </Answer>
    </Page>
  );
}
