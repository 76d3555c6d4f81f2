import { Checkbox } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { IconPlayerPause, IconPlayerPlay, IconReload, IconX } from '@tabler/icons-react';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { token } from '../state/tokens';
import { Ask } from '../ui/Ask';
import { counted, shown } from '../ui/names';
import { useAction } from '../ui/useAction';

/** Pause, resume, cancel, retry: only what the plan's state and the caller's roles allow. */
export function Controls({ plan }: { plan: Schemas['Plan'] }) {
  const { act } = useAction();
  const may = useMay();
  const navigate = useNavigate();
  const [kill, setKill] = useState(false);
  const path = { params: { path: { id: plan.id } } };
  const controls = may('plan.control', plan.actor, plan.project);
  const ended = token('PlanState', plan.state).ends ?? false;
  const failures = (plan.counts.failed ?? 0) + (plan.counts.cancelled ?? 0);
  const active = plan.counts.active ?? 0;
  return (
    <>
      {controls && plan.state === 'RUNNING' && (
        <Ask
          label="Pause"
          icon={<IconPlayerPause size={14} />}
          words="Nothing new starts; what runs goes on to its end."
          run={(reason) =>
            act('Pause requested', () => http.POST('/api/v1/plans/{id}/pause', { ...path, body: { reason } }))
          }
        />
      )}
      {controls && plan.state === 'PAUSED' && (
        <Ask
          label="Resume"
          icon={<IconPlayerPlay size={14} />}
          words="What waits starts again, by the plan's rules."
          run={(reason) =>
            act('Resume requested', () => http.POST('/api/v1/plans/{id}/resume', { ...path, body: { reason } }))
          }
        />
      )}
      {controls && !ended && plan.state !== 'CANCELLING' && (
        <Ask
          label="Cancel"
          color="red"
          icon={<IconX size={14} />}
          title={`Cancel ${shown(plan.name)}`}
          words={`${counted(plan.counts.waiting ?? 0, 'waiting item')} will not start. Running now: ${active.toLocaleString('en')}.`}
          run={(reason) =>
            act('Cancel requested', () => http.POST('/api/v1/plans/{id}/cancel', { ...path, body: { reason, kill } }))
          }
        >
          <Checkbox
            label={
              active === 1
                ? 'End the one that runs now, too'
                : `End the ${active.toLocaleString('en')} that run now, too`
            }
            checked={kill}
            onChange={(event) => setKill(event.currentTarget.checked)}
          />
        </Ask>
      )}
      {may('plan.start') && ended && failures > 0 && (
        <Ask
          label="Retry failures"
          variant="filled"
          icon={<IconReload size={14} />}
          words={`Makes a new run, linked to this one, of the ${failures === 1 ? 'one item' : `${failures.toLocaleString('en')} items`} that failed or ${failures === 1 ? 'was' : 'were'} cancelled.`}
          run={async (reason) => {
            let made = '';
            const ok = await act('The retry is started', async () => {
              const answer = await http.POST('/api/v1/plans/{id}/retry', { ...path, body: { reason } });
              made = answer.data?.id ?? '';
              return answer;
            });
            if (ok && made) void navigate({ to: '/runs/$id', params: { id: made } });
            return ok;
          }}
        />
      )}
    </>
  );
}
