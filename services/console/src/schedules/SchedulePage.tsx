import { useNavigate, useParams } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { $api, http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { Answer, Empty, Loading } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { CopyMenu } from '../ui/Copy';
import { DataTable } from '../ui/DataTable';
import { Facts } from '../ui/Json';
import { Page, Part } from '../ui/Page';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { DefinitionControls } from '../definitions/DefinitionControls';
import { Versions } from '../definitions/Versions';
import { Backfill } from './Backfill';

const PastTicks = lazy(() => import('./PastTicks'));

export function SchedulePage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/schedules/{id}', { params: { path: { id } } });
  const next = $api.useQuery('get', '/api/v1/schedules/{id}/next', { params: { path: { id }, query: { count: 10 } } });
  const navigate = useNavigate();
  const schedule = query.data;
  return (
    <Page
      title={schedule?.name || id}
      beside={schedule?.paused ? <span className="state tone-warn">paused</span> : undefined}
      words={next.data?.words}
      actions={
        <>
          {schedule && <ScheduleControls schedule={schedule} />}
          {schedule && <DefinitionControls kind="schedule" id={id} gone={() => void navigate({ to: '/schedules' })} />}
          <CopyMenu cli={`signalbox schedule show ${id}`} path={`/api/v1/schedules/${id}`} json={schedule} />
        </>
      }
    >
      <Answer query={query}>
        {(found) => (
          <Part title="Rule">
            <Facts
              rows={[
                ['Cron', <code key="c">{found.cron}</code>],
                ['Zone', found.zone],
                ['Starts', `${found.target.kind} ${found.target.id}`],
                ['If the one before still runs', found.overlap.replace('_', ' ')],
                ['Missed ticks', found.missed.policy ?? 'none'],
                ['Note', found.note || null],
                ['Version', `${found.version}, by ${found.updated_by}`],
              ]}
            />
          </Part>
        )}
      </Answer>
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
                    { header: 'In', id: 'in', cell: ({ row }) => <Time at={row.original.due_at} /> },
                    { header: 'For the day', accessorKey: 'event_date' },
                  ]}
                />
              ) : (
                <Empty title="It has no more ticks" />
              )
            }
          </Answer>
        </Part>
        <Suspense fallback={<Loading />}>
          <PastTicks id={id} />
        </Suspense>
      </div>
      {schedule && (
        <Part title="Versions">
          <Versions kind="schedule" id={id} newest={schedule.version} />
        </Part>
      )}
    </Page>
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
