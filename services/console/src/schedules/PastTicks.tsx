import { Heatmap } from '@mantine/charts';
import '@mantine/charts/styles.css';
import { Button, Group, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { every } from '../live/connection';
import { Answer, Empty } from '../ui/Answer';
import { DataTable } from '../ui/DataTable';
import { Part } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';
import { byDay, COLOURS, wordsOf, type Day } from './days';

const PAGES = 5;
const SHOWN = 50;
const WEEKS = 18;

async function newest(id: string): Promise<{ ticks: Schemas['TickAnswer'][]; all: boolean }> {
  const ticks: Schemas['TickAnswer'][] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES; page++) {
    const query = { limit: 200, ...(cursor ? { cursor } : {}) };
    const { data, error } = await http.GET('/api/v1/schedules/{id}/ticks', { params: { path: { id }, query } });
    if (error) throw error;
    ticks.push(...data.items);
    if (!data.next_cursor) return { ticks, all: true };
    cursor = data.next_cursor;
  }
  return { ticks, all: false };
}

/** What became of the ticks: a calendar of days, and the ticks of the day that is chosen. */
export default function PastTicks({ id }: { id: string }) {
  const [day, setDay] = useState<string>();
  const query = useQuery({
    queryKey: ['get', '/api/v1/schedules/{id}/ticks', { params: { path: { id } } }],
    queryFn: () => newest(id),
    refetchInterval: every(30_000),
  });
  return (
    <Part title="Past ticks">
      <Answer query={query}>
        {({ ticks, all }) =>
          ticks.length ? (
            <>
              <Calendar days={byDay(ticks)} choose={setDay} />
              <Group my="xs" align="flex-end" gap="xs">
                <TextInput
                  type="date"
                  label="Day (UTC)"
                  value={day ?? ''}
                  onChange={(event) => setDay(event.currentTarget.value || undefined)}
                />
                {day && (
                  <Button variant="subtle" onClick={() => setDay(undefined)}>
                    All days
                  </Button>
                )}
              </Group>
              <Ticks key={day} rows={ticks.filter((tick) => !day || tick.due_at.startsWith(day))} />
              {!all && (
                <Text size="xs" c="dimmed">
                  The newest {(PAGES * 200).toLocaleString('en')} ticks; there were more.
                </Text>
              )}
            </>
          ) : (
            <Empty title="It has not ticked yet">
              The next ticks are above. If none is due soon: Run now starts it once, Backfill… makes up for past days.
            </Empty>
          )
        }
      </Answer>
    </Part>
  );
}

function Calendar({ days, choose }: { days: Map<string, Day>; choose: (day: string) => void }) {
  const start = new Date(Date.now() - WEEKS * 7 * 86_400_000);
  const total = [...days.values()].reduce((sum, day) => sum + day.total, 0);
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a part that scrolls has to be reached
    <div className="calendar" role="region" aria-label={`Calendar of ${total} past ticks by day`} tabIndex={0}>
      <Heatmap
        aria-hidden
        data={Object.fromEntries([...days].map(([day, { level }]) => [day, level]))}
        startDate={start}
        endDate={new Date()}
        domain={[0, 3]}
        colors={COLOURS}
        rectSize={16}
        gap={3}
        withMonthLabels
        withWeekdayLabels
        withTooltip
        getTooltipLabel={({ date }) => wordsOf(date, days.get(date))}
        getRectProps={({ date }) => (days.has(date) ? { onClick: () => choose(date), style: { cursor: 'pointer' } } : {})}
      />
    </div>
  );
} // prettier-ignore

export function Ticks({ rows }: { rows: Schemas['TickAnswer'][] }) {
  const [all, setAll] = useState(false);
  if (!rows.length) return <Empty title="No tick of this day">Choose another day, or All days.</Empty>;
  return (
    <>
      <DataTable
        label="Past ticks"
        rows={all ? rows : rows.slice(0, SHOWN)}
        idOf={(tick) => tick.tick_id}
        columns={[
          { header: 'Due', accessorKey: 'due_at', cell: ({ row }) => <Time at={row.original.due_at} exact /> },
          {
            header: 'Outcome',
            accessorKey: 'outcome',
            cell: ({ row: { original: tick } }) =>
              tick.plan_id ? (
                <Link to="/runs/$id" params={{ id: tick.plan_id }}>
                  {tick.plan_state ? <StateBadge kind="PlanState" state={tick.plan_state} /> : 'started'}
                </Link>
              ) : (
                <span title={tick.detail}>
                  {tick.outcome === 'FIRED' ? 'fired' : `skipped: ${tick.detail || tick.cause}`}
                </span>
              ),
          },
        ]}
      />
      {rows.length > SHOWN && !all && (
        <Button mt="sm" variant="default" onClick={() => setAll(true)}>
          Show all {rows.length.toLocaleString('en')}
        </Button>
      )}
    </>
  );
}
