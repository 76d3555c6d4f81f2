import { Link, useParams } from '@tanstack/react-router';
import { $api, http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { Answer, Empty } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { CopyMenu } from '../ui/Copy';
import { DataTable } from '../ui/DataTable';
import { Facts } from '../ui/Json';
import { ListPart } from '../ui/ListPart';
import { Page, Part } from '../ui/Page';
import { StateBadge } from '../ui/StateBadge';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { Backfill } from './Backfill';

export function SchedulePage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/schedules/{id}', { params: { path: { id } } });
  const next = $api.useQuery('get', '/api/v1/schedules/{id}/next', { params: { path: { id }, query: { count: 10 } } });
  const schedule = query.data;
  return (
    <Page
      title={schedule?.name || id}
      beside={schedule?.paused ? <span className="state tone-warn">paused</span> : undefined}
      words={next.data?.words}
      actions={
        <>
          {schedule && <ScheduleControls schedule={schedule} />}
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
        <PastTicks id={id} />
      </div>
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

function PastTicks({ id }: { id: string }) {
  const query = $api.useQuery('get', '/api/v1/schedules/{id}/ticks', {
    params: { path: { id }, query: { limit: 50 } },
  });
  return (
    <Part title="Past ticks">
      <ListPart
        query={query}
        label="Past ticks"
        idOf={(tick) => tick.tick_id}
        empty={<Empty title="It has not ticked yet" />}
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
    </Part>
  );
}
