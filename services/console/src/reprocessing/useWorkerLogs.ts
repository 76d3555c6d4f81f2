import { useEffect, useRef, useState } from 'react';
import { $api } from '../api/client';
import { polled, type Worker } from './workerLogs';

const POLL_MS = 2_000;
const FIRST_TAIL = 1_000;
const NEXT_TAIL = 200;

type Log = { worker_index: number; pod_name: string; lines: string[]; error?: string | null };

/** The logs of a job's workers, read again every 2 s while the job runs and nobody has paused. */
export function useWorkerLogs(id: string, runs: boolean, paused: boolean) {
  const [workers, setWorkers] = useState<Worker[]>([]);
  const [tail, setTail] = useState(FIRST_TAIL);
  const read = useRef<unknown>(undefined);
  const query = $api.useQuery(
    'get',
    '/api/admin/reprocessing/jobs/{id}/logs',
    { params: { path: { id }, query: { tail } } },
    { refetchInterval: runs && !paused ? POLL_MS : false, placeholderData: (before) => before, gcTime: 0 },
  );
  const { data, isPlaceholderData } = query;
  useEffect(() => {
    if (!data || isPlaceholderData || data === read.current || !('logs' in data)) return;
    read.current = data;
    const logs = (data.logs as Log[]).map((one) => ({
      index: one.worker_index,
      name: one.pod_name,
      lines: one.lines,
      error: one.error ?? null,
    }));
    setWorkers((before) => polled(before, logs, tail));
    if (logs.some((one) => one.lines.length)) setTail(NEXT_TAIL);
  }, [data, isPlaceholderData, tail]);
  // what was written between the last poll and the end of the job
  const { refetch } = query;
  useEffect(() => {
    if (!runs) void refetch();
  }, [runs, refetch]);
  return { workers, query };
}
