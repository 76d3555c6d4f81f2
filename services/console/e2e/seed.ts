/* eslint-disable @typescript-eslint/no-explicit-any -- answers of any shape, used by tests only */
/** Data for the console's tests on a real stack: made through the API, safe to run again. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';

const base = process.env.SIGNALBOX_API_URL!;
const token = process.env.SIGNALBOX_TOKEN!;

export async function api(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }> {
  const response = await fetch(`${base}${path.startsWith('/api/') ? path : `/api/v1${path}`}`, {
    method,
    headers: {
      Authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}

async function must(method: string, path: string, body?: unknown, allowed: number[] = []): Promise<any> {
  const answer = await api(method, path, body);
  if (answer.status >= 300 && !allowed.includes(answer.status))
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 800)}`);
  return answer.body;
}

const scripted = (script: object) => ({ kind: 'scripted', script });
const LOG = Array.from({ length: 400 }, (_, at) =>
  at === 371
    ? '\u001b[31mERROR\u001b[0m connection refused: db-7.example:5432'
    : `2026-03-29T01:${String(at % 60).padStart(2, '0')}:00Z INFO row group ${at} read, 4096 rows`,
).join('\n');

const step = (id: string, script: object, after: string[] = [], more: object = {}) => ({
  id,
  engine: 'scripted',
  work: scripted(script),
  depends_on: after.map((one) => ({ step: one })),
  ...more,
});

function eventFiles(): string {
  const folder = `${process.env.SIGNALBOX_STACK_FOLDER}/events/console-${Date.now()}`;
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  const events = Array.from({ length: 200 }, (_, at) => JSON.stringify({ messageId: `e-${at}`, origin: { slug: 'clicks' } }));
  for (let file = 0; file < 20; file++)
    writeFileSync(`${folder}/file_${String(file).padStart(2, '0')}.ndjson`, `{"cut\n${events.join('\n')}\n`);
  return folder;
} // prettier-ignore

export const PASSWORD = 'eleven unrelated words';

/** A job over twenty files of events, so with two workers; the rate says how long it runs. */
export const reprocess = (max_events_per_second: number): Promise<{ id: string }> =>
  must('POST', '/api/admin/reprocessing/jobs', {
    local_path: eventFiles(), connection_ids: ['lake'], dry_run: true, max_events_per_second, reason: 'to be watched',
  }); // prettier-ignore

export async function seed(): Promise<Record<'live' | 'failed' | 'bulk' | 'markup' | 'reprocessing', string>> {
  const once = [409];
  await must('POST', '/pipelines', {
    id: 'daily', name: 'Daily recommendations', description: 'Loads yesterday, ranks it, serves it',
    params: { mode: { choices: ['initial_load', 'incremental'], default: 'incremental' }, day: { type: 'date', default: '2026-03-28' } },
    steps: [
      step('load', { run_seconds: 1, log: LOG, result: { rows: 1234 } }),
      step('clean', { run_seconds: 1 }, ['load']),
      step('rank_a', { run_seconds: 2 }, ['clean']),
      step('rank_b', { run_seconds: 1 }, ['clean']),
      step('serve', { run_seconds: 1 }, ['rank_a', 'rank_b']),
    ],
  }, once); // prettier-ignore
  await must('POST', '/pipelines', {
    id: 'billing', name: 'Billing export',
    steps: [
      step('extract', { run_seconds: 1 }),
      step('upload', { run_seconds: 1, exit_code: 7, log: LOG, message: 'connection refused: db-7.example:5432' }, ['extract'], {
        retries: { max_attempts: 2, delay_seconds: 0.1 },
      }),
      step('notify', {}, ['upload']),
    ],
  }, once); // prettier-ignore
  await must(
    'POST',
    '/jobs',
    { id: 'compact', name: 'Compact partitions', engine: 'scripted', work: scripted({ run_seconds: 3 }) },
    once,
  );
  await must('POST', '/schedules', {
    id: 'nightly', name: 'Nightly', cron: '0 30 2 * * *', zone: 'Europe/Prague', target: { kind: 'pipeline', id: 'daily' },
  }, once); // prettier-ignore
  await must('POST', '/schedules', {
    id: 'half-minute', name: 'Every half minute', cron: '*/30 * * * * *', paused: true, target: { kind: 'job', id: 'compact' },
  }, once); // prettier-ignore
  await must('PUT', '/event-sources/files', { signing_secrets: [], description: 'The file watcher' }, [403, 404, 422]);
  await must('POST', '/triggers', {
    id: 'new-files', name: 'New files', target: { kind: 'pipeline', id: 'daily' },
    match: { types: ['file.*'], condition: 'data.size > 0' },
  }, once); // prettier-ignore
  await must('PUT', '/secrets/warehouse-password', {
    value: 'not shown anywhere',
    uses: ['work'],
    description: 'The warehouse',
  });
  await must('POST', '/freezes', {
    id: 'month-end', name: 'Month end', mode: 'drain', reason: 'The books close', engines: ['local'],
    calendar: [{ cron: '0 18 28 * *', duration_seconds: 43200, zone: 'Europe/Prague' }],
  }, once); // prettier-ignore
  for (const [username, role] of [
    ['vera', 'viewer'],
    ['olga', 'operator'],
  ] as const)
    await must('POST', '/users', { username, role, password: PASSWORD, name: `${username} of the tests` }, [409, 422]);
  await must('POST', '/channels', { id: 'screen', name: 'Screen', destination: { kind: 'websocket' } }, once);
  await must(
    'POST',
    '/subscriptions',
    { id: 'failures', name: 'Failures', channel: 'screen', events: ['workflow.failed'], at_least: 'error' },
    once,
  );
  for (const [at, size] of [
    ['1', 11],
    ['2', 0],
  ] as const)
    await must(
      'POST',
      '/events/files',
      { id: `seed-${at}`, type: 'file.created', data: { path: `/in/${at}.gz`, size } },
      [403, 404, 409, 422],
    );
  await must('POST', '/pipelines/daily/run', { reason: 'first of the day' });
  const failed = await must('POST', '/pipelines/billing/run', { reason: 'the usual' });
  const items = (count: number, script: (at: number) => object) =>
    Array.from({ length: count }, (_, at) => ({
      key: `part-${String(at).padStart(5, '0')}`,
      engine: 'scripted',
      work: scripted(script(at)),
    }));
  const bulk = await must('POST', '/plans', {
    name: 'Reload of March', labels: { team: 'lake' }, rules: { limit: 20 }, reason: 'ticket 4711',
    items: items(240, (at) => ({ run_seconds: 0.2, ...(at % 40 === 13 ? { exit_code: 1, message: 'schema of 2019' } : {}) })),
  }); // prettier-ignore
  const live = await must('POST', '/plans', {
    name: 'Backfill of clicks', rules: { limit: 3 }, items: items(60, (at) => ({ run_seconds: at < 3 ? 7200 : 5, log: LOG })),
  }); // prettier-ignore
  const markup = await must('POST', '/plans', {
    name: '<img src=x onerror=alert(1)> מחר \u202e evil', items: items(1, () => ({ log: '<script>alert(1)</script>\n\u001b[32mgreen\u001b[0m' })),
  }); // prettier-ignore
  const reprocessing = await reprocess(20);
  return { live: live.id, failed: failed.id, bulk: bulk.id, markup: markup.id, reprocessing: reprocessing.id };
}
