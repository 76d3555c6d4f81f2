/** Until when people silence things. Local time; pure. */
export function untils(now: Date): { label: string; at: string }[] {
  const hours = (count: number) => new Date(now.getTime() + count * 3_600_000).toISOString();
  const monday = new Date(now);
  monday.setDate(now.getDate() + ((8 - now.getDay()) % 7 || 7));
  monday.setHours(8, 0, 0, 0);
  const tomorrow = new Date(now);
  tomorrow.setDate(now.getDate() + 1);
  tomorrow.setHours(8, 0, 0, 0);
  return [
    { label: 'for an hour', at: hours(1) },
    { label: 'for four hours', at: hours(4) },
    { label: 'until tomorrow at 8', at: tomorrow.toISOString() },
    { label: 'until Monday at 8', at: monday.toISOString() },
  ];
}
