import { memo } from 'react';
import { token, type Kind } from '../state/tokens';
import { ICONS } from './icons';

type Props = { kind: Kind; state: string | null | undefined; count?: number };

/** A state as icon, word and colour. */
export const StateBadge = memo(function StateBadge({ kind, state, count }: Props) {
  if (!state) return <span className="dim">–</span>;
  const { word, tone, icon } = token(kind, state);
  const Icon = ICONS[icon];
  return (
    <span className={`state tone-${tone}`}>
      <Icon size={14} stroke={2.2} aria-hidden />
      {count !== undefined && <b>{count.toLocaleString('en')}</b>}
      {word}
    </span>
  );
});
