import type { Schemas } from '../api/client';

type Typed = string | number;

/** What is sent again, as it is typed: empty means the default of the API. */
export type Draft = {
  path: string;
  files: string[];
  streams: string[];
  connections: string[];
  from: string;
  to: string;
  startFile: string;
  startLine: Typed;
  limit: Typed;
  batchSize: Typed;
  retries: Typed;
  eventsPerSecond: Typed;
  distribution: 'modulo' | 'balanced';
  engine: string | null;
  dry: boolean;
  reason: string;
};

/** Where the form begins: it only counts. */
export const FIRST: Draft = {
  path: '', files: [], streams: [], connections: [], from: '', to: '', startFile: '', startLine: '', limit: '', batchSize: '',
  retries: '', eventsPerSecond: '', distribution: 'modulo', engine: null, dry: true, reason: '',
}; // prettier-ignore

/** What the API would refuse, by field; nothing when it can be sent. */
export function wrongWith(draft: Draft): Partial<Record<keyof Draft, string>> {
  const wrong: Partial<Record<keyof Draft, string>> = {};
  if (!/^(s3:\/\/[^/\s]|\/)/.test(draft.path)) wrong.path = 's3://bucket/folder, or a folder that begins with /';
  if (draft.from && draft.to && draft.to < draft.from) wrong.to = 'Not before the first day';
  if (draft.startLine !== '' && !draft.startFile) wrong.startFile = 'Which file is the line of?';
  const comma = draft.connections.find((id) => id.includes(','));
  if (comma) wrong.connections = `${comma}: a connection has no comma`;
  return wrong;
}

const given = <T>(name: string, value: T | '' | null | readonly never[]) =>
  value === '' || value === null || (Array.isArray(value) && !value.length) ? {} : { [name]: value };
const number = (name: string, typed: Typed) => given(name, typed === '' ? '' : Number(typed));

/** The job to start. */
export const bodyOf = (draft: Draft): Schemas['ReprocessingStartBodyInput'] =>
  ({
    [draft.path.startsWith('s3://') ? 's3_path' : 'local_path']: draft.path,
    ...given('files', draft.files),
    ...given('stream_ids', draft.streams),
    ...given('connection_ids', draft.connections),
    ...(draft.from ? { date_from: `${draft.from}T00:00:00Z` } : {}),
    ...(draft.to ? { date_to: `${draft.to}T23:59:59Z` } : {}),
    ...given('start_file', draft.startFile),
    ...number('start_line', draft.startLine),
    ...number('limit', draft.limit),
    ...number('batch_size', draft.batchSize),
    ...number('retry_attempts', draft.retries),
    ...number('max_events_per_second', draft.eventsPerSecond),
    ...given('engine', draft.engine),
    distribution: draft.distribution,
    dry_run: draft.dry,
    reason: draft.reason,
  }) as Schemas['ReprocessingStartBodyInput'];
