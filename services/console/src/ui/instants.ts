/** Instants and durations as people read them. Pure; `now` is given. */
const UNITS: [number, string][] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
];

export function duration(seconds: number): string {
  const rounded = Math.max(0, Math.round(seconds));
  const at = UNITS.findIndex(([size]) => rounded >= size);
  if (at < 0) return '0 s';
  const [size, unit] = UNITS[at]!;
  const next = UNITS[at + 1];
  const rest = next ? Math.floor((rounded % size) / next[0]) : 0;
  return `${Math.floor(rounded / size)} ${unit}${rest && next ? ` ${rest} ${next[1]}` : ''}`;
}

export function relative(instant: string, now: number): string {
  const seconds = (Date.parse(instant) - now) / 1000;
  if (Number.isNaN(seconds)) return instant;
  if (Math.abs(seconds) < 1) return 'now';
  const unit = duration(Math.abs(seconds)).split(' ').slice(0, 2).join(' ');
  return seconds > 0 ? `in ${unit}` : `${unit} ago`;
}

/** The instant of what is typed as date and time (`2026-03-29T08:00`), in the zone in which times are shown. */
export const instantOf = (typed: string, utc: boolean) => new Date(utc ? `${typed}Z` : typed).toISOString();

const two = (part: number) => String(part).padStart(2, '0');

export function absolute(instant: string, utc: boolean): string {
  const at = new Date(instant);
  if (Number.isNaN(at.getTime())) return instant;
  if (utc) return `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const zone = -at.getTimezoneOffset();
  const sign = zone < 0 ? '-' : '+';
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${date} ${clock} ${sign}${two(Math.floor(Math.abs(zone) / 60))}:${two(Math.abs(zone) % 60)}`;
}
