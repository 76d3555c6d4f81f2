import { expect, test } from 'vitest';
import { untils } from './snooze';

test.each(['2026-03-27T12:00:00', '2026-03-29T12:00:00', '2026-03-30T07:00:00'])(
  'Monday is always the next one (%s)',
  (text) => {
    const now = new Date(text);
    const at = new Date(untils(now).find((one) => one.label.includes('Monday'))!.at);
    expect(at.getDay()).toBe(1);
    expect(at.getHours()).toBe(8);
    expect(at.getTime()).toBeGreaterThan(now.getTime());
    expect(at.getTime() - now.getTime()).toBeLessThanOrEqual(8 * 86_400_000);
  },
);
