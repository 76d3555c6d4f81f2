import type { Schemas } from '../api/client';
import { FAILED_PLANS } from '../state/tokens';

type Plan = Pick<Schemas['Plan'], 'created_at' | 'ended_at' | 'state'>;
export type Hour = { hour: string; succeeded: number; failed: number; other: number };

const HOUR = 3_600_000;
const failed: readonly string[] = FAILED_PLANS;

/** Runs by the hour in which they ended, the last 24 hours, empty hours too. */
export function byHour(plans: Plan[], now: number, utc: boolean): Hour[] {
  const last = Math.floor(now / HOUR);
  const hours = Array.from({ length: 24 }, (_, at) => {
    const start = new Date((last - 23 + at) * HOUR);
    const hour = String(utc ? start.getUTCHours() : start.getHours()).padStart(2, '0');
    const minute = String(utc ? 0 : start.getMinutes()).padStart(2, '0'); // some zones are half an hour off
    return { hour: `${hour}:${minute}`, succeeded: 0, failed: 0, other: 0 };
  });
  for (const plan of plans) {
    if (!plan.ended_at) continue;
    const hour = hours[23 - (last - Math.floor(Date.parse(plan.ended_at) / HOUR))];
    if (!hour) continue;
    if (plan.state === 'SUCCEEDED') hour.succeeded++;
    else if (failed.includes(plan.state)) hour.failed++;
    else hour.other++;
  }
  return hours;
}
