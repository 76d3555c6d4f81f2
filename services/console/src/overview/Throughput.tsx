import { BarChart } from '@mantine/charts';
import '@mantine/charts/styles.css';
import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { http } from '../api/client';
import type { Schemas } from '../api/client';
import { every } from '../live/connection';
import { dayAgo } from '../runs/since';
import { Answer } from '../ui/Answer';
import { useUtc } from '../ui/preferences';
import { byHour } from './hours';

const PAGES = 5;
const PER_PAGE = 200;

async function newest(): Promise<{ plans: Schemas['Plan'][]; all: boolean }> {
  const plans: Schemas['Plan'][] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES; page++) {
    const query = { ended_after: dayAgo(), limit: PER_PAGE, ...(cursor ? { cursor } : {}) };
    const { data, error } = await http.GET('/api/v1/plans', { params: { query } });
    if (error) throw error;
    plans.push(...data.items);
    if (!data.next_cursor) return { plans, all: true };
    cursor = data.next_cursor;
  }
  return { plans, all: false };
}

/** How many runs ended in each hour, from the thousand that ended last. */
export default function Throughput() {
  const utc = useUtc();
  const query = useQuery({
    queryKey: ['throughput'],
    queryFn: newest,
    refetchInterval: every(60_000),
    staleTime: 30_000,
  });
  return (
    <Answer query={query} lines={4}>
      {({ plans, all }) => {
        const hours = byHour(plans, Date.now(), utc);
        const sum = (part: 'succeeded' | 'failed' | 'other') => hours.reduce((total, hour) => total + hour[part], 0);
        return (
          <>
            <div
              style={{ overflow: 'hidden' }} // the chart keeps its width until it has measured the new one
              role="img"
              aria-label={`Runs that ended in the last 24 hours: ${sum('succeeded')} succeeded, ${sum('failed')} failed, ${sum('other')} cancelled`}
            >
              <BarChart
                h={180}
                data={hours}
                dataKey="hour"
                type="stacked"
                withLegend
                tickLine="none"
                barProps={{ isAnimationActive: false }}
                barChartProps={{ accessibilityLayer: false }}
                yAxisProps={{ allowDecimals: false, width: 44 }}
                series={[
                  { name: 'succeeded', color: 'var(--good)' },
                  { name: 'failed', color: 'var(--bad)' },
                  { name: 'other', color: 'var(--off)', label: 'cancelled' },
                ]}
              />
            </div>
            {!all && (
              <Text size="xs" c="dimmed">
                The last {(PAGES * PER_PAGE).toLocaleString('en')} runs to end; there were more.
              </Text>
            )}
          </>
        );
      }}
    </Answer>
  );
}
