import { useParams } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { $api, http, type Schemas } from '../api/client';
import { DefinitionPage } from '../definitions/DefinitionPage';
import { useMay } from '../session/me';
import { Answer, Empty, Loading } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { DataTable } from '../ui/DataTable';
import { Facts } from '../ui/Json';
import { Part } from '../ui/Page';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { Backfill } from './Backfill';

const PastTicks = lazy(() => import('./PastTicks'));

export function SchedulePage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/schedules/{id}', { params: { path: { id } } });
  const next = $api.useQuery('get', '/api/v1/schedules/{id}/next', { params: { path: { id }, query: { count: 10 } } });
  return (
    <DefinitionPage
      kind="schedule"
      id={id}
      query={query}
      words={next.data && `${next.data.words}.`}
      controls={(one) => <ScheduleControls schedule={one} />}
      tabs={[{ id: 'ticks', label: 'Ticks', show: () => <Ticks id={id} /> }]}
    >
      {(one) => (
        <Part title="Rule">
          <Facts
            rows={[
              ['Cron', <code key="c">{one.cron}</code>],
              ['Zone', one.zone],
              ['Starts', `${one.target.kind} ${one.target.id}`],
              ['If the one before still runs', one.overlap.replace('_', ' ')],
              ['Missed ticks', one.missed.policy ?? 'none'],
              ['Note', one.note || null],
            ]}
          />
        </Part>
      )}
    </DefinitionPage>
  );
}

function Ticks({ id }: { id: string }) {
  const next = $api.useQuery('get', '/api/v1/schedules/{id}/next', { params: { path: { id }, query: { count: 10 } } });
  return (
    <div className="grid">
      <Part title="Next ticks">
        <Answer query={next}>
          {({ ticks }) =>
            ticks.length ? (
              <DataTable
                label="Next ticks"
                rows={ticks}
                idOf={(tick) => tick.due_at}
                columns={[
                  {
                    header: 'Due',
                    accessorKey: 'due_at',
                    cell: ({ row }) => <Time at={row.original.due_at} exact />,
                  },
                  { header: 'From now', id: 'in', cell: ({ row }) => <Time at={row.original.due_at} /> },
                  { header: 'Event date', accessorKey: 'event_date' },
                ]}
              />
            ) : (
              <Empty title="It has no more ticks">Its rule ends, or it is paused: edit the rule, or resume it.</Empty>
            )
          }
        </Answer>
      </Part>
      <Suspense fallback={<Loading />}>
        <PastTicks id={id} />
      </Suspense>
    </div>
  );
}

function ScheduleControls({ schedule }: { schedule: Schemas['Schedule'] }) {
  const may = useMay();
  const { act } = useAction();
  const path = { params: { path: { id: schedule.id } } };
  return (
    <>
      {may('plan.start') && (
        <Ask
          label="Run now"
          variant="filled"
          words="Starts what the schedule starts, once, now."
          run={(reason) => act('Started', () => http.POST('/api/v1/schedules/{id}/run', { ...path, body: { reason } }))}
        />
      )}
      {may('plan.start') && <Backfill schedule={schedule} />}
      {may('schedule.write') &&
        (schedule.paused ? (
          <Ask
            label="Resume"
            run={(reason) =>
              act('It ticks again', () => http.POST('/api/v1/schedules/{id}/resume', { ...path, body: { reason } }))
            }
          />
        ) : (
          <Ask
            label="Pause"
            words="No tick starts anything until it is resumed."
            run={(reason) =>
              act('Paused', () => http.POST('/api/v1/schedules/{id}/pause', { ...path, body: { reason } }))
            }
          />
        ))}
    </>
  );
}
