import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useRef } from 'react';
import { http, type Schemas } from '../api/client';
import { every } from '../live/connection';
import { token } from '../state/tokens';
import { Answer, Empty } from '../ui/Answer';
import { absolute, duration } from '../ui/instants';
import { useUtc } from '../ui/preferences';
import { useNow } from '../ui/Time';
import { barOf, spanOf, type Timed } from './bars';

const PAGES = 10;

async function started(id: string): Promise<{ tasks: Timed[]; all: boolean }> {
  const tasks: Timed[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES; page++) {
    const { data, error } = await http.GET('/api/v1/plans/{id}/tasks', {
      params: { path: { id }, query: { limit: 200, ...(cursor ? { cursor } : {}) } },
    });
    if (error) throw error;
    tasks.push(...data.items.filter((task) => task.queued_at));
    if (!data.next_cursor) return { tasks, all: true };
    cursor = data.next_cursor;
  }
  return { tasks, all: false };
}

/** When each task waited and ran; the first two thousand of large plans. */
export function Timeline({ plan }: { plan: Schemas['Plan'] }) {
  const query = useQuery({
    queryKey: ['get', '/api/v1/plans/{id}/tasks', { params: { path: { id: plan.id } } }, 'timeline'],
    queryFn: () => started(plan.id),
    refetchInterval: plan.ended_at ? false : every(10_000),
  });
  return (
    <Answer query={query}>
      {({ tasks, all }) =>
        tasks.length ? (
          <>
            <Bars tasks={tasks} ended={plan.ended_at} />
            {!all && (
              <Text size="xs" c="dimmed" mt={4}>
                The first {tasks.length.toLocaleString('en')} tasks.
              </Text>
            )}
          </>
        ) : (
          <Empty title="No task yet">Bars appear when the first task is queued.</Empty>
        )
      }
    </Answer>
  );
}

function Bars({ tasks, ended }: { tasks: Timed[]; ended: string | null }) {
  const box = useRef<HTMLDivElement>(null);
  const now = useNow();
  const utc = useUtc();
  const span = spanOf(tasks, ended ? Date.parse(ended) : now);
  const virtual = useVirtualizer({
    count: tasks.length,
    getScrollElement: () => box.current,
    estimateSize: () => 26,
    overscan: 10,
  });
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a part that scrolls has to be reached
    <div className="bars" ref={box} role="region" aria-label="Timeline" tabIndex={0}>
      <div className="bar-axis" aria-hidden>
        <span className="bar-name">from {absolute(new Date(span.from).toISOString(), utc)}</span>
        <div className="bar-lane">
          {[0, 25, 50, 75, 100].map((at) => (
            <span key={at} className="bar-tick" style={{ left: `${at}%` }}>
              {duration(((span.to - span.from) * at) / 100_000)}
            </span>
          ))}
        </div>
      </div>
      <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
        {virtual.getVirtualItems().map(({ index, start }) => {
          const task = tasks[index]!;
          const { waits, runs } = barOf(task, span);
          const { word, tone } = token('TaskState', task.state);
          return (
            <div className="bar-row" key={task.id} style={{ transform: `translateY(${start}px)` }}>
              <Link className="link bar-name" to="/tasks/$id" params={{ id: task.id }} title={task.item_key} dir="auto">
                {task.step ?? task.item_key}
              </Link>
              <div
                className="bar-lane"
                title={`${word}${runs ? `, ran ${duration(runs.seconds)}` : ''}, waited ${duration(waits.seconds)}`}
              >
                <span className="bar-waits fill-wait" style={{ left: `${waits.left}%`, width: `${waits.width}%` }} />
                {runs && (
                  <span
                    className={`bar fill-${tone}`}
                    style={{ left: `${runs.left}%`, width: `${runs.width}%` }}
                    role="img"
                    aria-label={`${word}, ran ${duration(runs.seconds)}`}
                  />
                )}
              </div>
            </div>
          );
        })}
      </div>
    </div>
  );
}
