import type { Schemas } from '../api/client';

type Counts = Schemas['Counts'];
const PARTS = [
  ['succeeded', 'good'],
  ['skipped', 'off'],
  ['failed', 'bad'],
  ['cancelled', 'gone'],
  ['active', 'active'],
  ['unknown', 'warn'],
  ['waiting', 'wait'],
] as const;

/** Progress as one bar of parts, with the same in words for whoever cannot see it. */
export function Meter({ counts, words = false }: { counts: Counts; words?: boolean }) {
  const total = counts.total ?? 0;
  const parts = PARTS.filter(([name]) => (counts[name] ?? 0) > 0);
  const text = parts.map(([name]) => `${(counts[name] ?? 0).toLocaleString('en')} ${name}`).join(', ');
  return (
    <div className="meter-box">
      <div className="meter" role="img" aria-label={text || 'nothing yet'} title={text}>
        {parts.map(([name, tone]) => (
          <span key={name} className={`fill-${tone}`} style={{ flexGrow: counts[name] }} />
        ))}
      </div>
      <span className="meter-words">{words ? text : total ? briefly(counts, total) : '–'}</span>
    </div>
  );
}

/** What failed, else what is done: the one number that people look for. */
const briefly = (counts: Counts, total: number) =>
  `${counts.failed ? `${counts.failed.toLocaleString('en')} failed` : done(counts).toLocaleString('en')} of ${total.toLocaleString('en')}`;

const done = (counts: Counts) =>
  (counts.succeeded ?? 0) + (counts.failed ?? 0) + (counts.skipped ?? 0) + (counts.cancelled ?? 0);
