const MINUTE = 60_000;

/** An instant some days ago, cut to minutes, so that a page that is drawn again asks the same question. */
export function daysAgo(days: number, now = Date.now()): string {
  return new Date(Math.floor((now - days * 86_400_000) / (10 * MINUTE)) * 10 * MINUTE).toISOString();
}

export const dayAgo = () => daysAgo(1);
