import { FAILED_PLANS } from '../state/tokens';
import { counted } from '../ui/names';

type Tick = { due_at: string; outcome: string; plan_state?: string | null };
/** A day of a schedule: how many ticks it had, how many failed or were left out, and how bad that is (0 to 3). */
export type Day = { total: number; failed: number; skipped: number; level: number };

/** Colours of the levels: all went well, some were left out, some failed, all failed. */
export const COLOURS = ['var(--good)', 'var(--off)', 'color-mix(in srgb, var(--bad) 60%, var(--card))', 'var(--bad)'];

/** Ticks by their day in UTC, `YYYY-MM-DD`. */
export function byDay(ticks: readonly Tick[]): Map<string, Day> {
  const days = new Map<string, Day>();
  for (const tick of ticks) {
    const date = tick.due_at.slice(0, 10);
    const day = days.get(date) ?? { total: 0, failed: 0, skipped: 0, level: 0 };
    day.total += 1;
    if ((FAILED_PLANS as readonly string[]).includes(tick.plan_state ?? '')) day.failed += 1;
    else if (tick.outcome === 'SKIPPED') day.skipped += 1;
    day.level = day.failed === day.total ? 3 : day.failed ? 2 : day.skipped ? 1 : 0;
    days.set(date, day);
  }
  return days;
}

export function wordsOf(date: string, day: Day | undefined): string {
  if (!day) return `${date}: no tick`;
  const parts = [counted(day.total, 'tick')];
  if (day.failed) parts.push(`${day.failed} failed`);
  if (day.skipped) parts.push(`${day.skipped} left out`);
  return `${date}: ${parts.join(', ')}`;
}
