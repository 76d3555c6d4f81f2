import type { Schemas } from '../api/client';

/** What a trigger matches, in words. */
export const matches = ({ match }: Schemas['Trigger']) =>
  [
    match.types?.length ? `type ${match.types.join(', ')}` : '',
    match.sources?.length ? `source ${match.sources.join(', ')}` : '',
    match.subjects?.length ? `subject ${match.subjects.join(', ')}` : '',
    match.condition ?? '',
  ]
    .filter(Boolean)
    .join(' and ') || 'every event';
