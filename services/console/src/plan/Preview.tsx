import { Checkbox, Group, Text } from '@mantine/core';
import { useState } from 'react';
import { http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { Answer } from '../ui/Answer';
import { Ask } from '../ui/Ask';
import { counted, shown } from '../ui/names';
import { Part } from '../ui/Page';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { useDeletions } from './useDeletions';

const many = (count: number) => count.toLocaleString('en');

/** A plan that was previewed: what it would do and delete, until when that holds, apply and reject. */
export function Preview({ plan }: { plan: Schemas['Plan'] }) {
  const { act } = useAction();
  const may = useMay();
  const deletions = useDeletions(plan.id);
  const path = { params: { path: { id: plan.id } } };
  const runs = plan.counts.waiting ?? 0;
  return (
    <Part title="Preview: nothing has started">
      <Text size="sm">
        {runs ? `${many(runs)} of ${counted(plan.counts.total ?? 0, 'item')} would run. ` : 'Nothing would run. '}
        Below is each item with its decision and why.{' '}
        {runs > 0 && (
          <>
            It holds until <Time at={plan.preview_expires_at} exact />. When it is applied, everything is looked up
            again; if the world has changed it is refused, with what differs.
          </>
        )}
      </Text>
      <Answer query={deletions} lines={1}>
        {({ paths, all }) => (
          <>
            {paths.length > 0 && <Deletions paths={paths} all={all} />}
            <Group gap="xs" mt="sm">
              {runs > 0 && may('plan.apply', plan.actor, plan.project) && (
                <Apply plan={plan} deletes={paths.length} all={all} />
              )}
              {may('plan.control', plan.actor, plan.project) && (
                <Ask
                  label="Reject"
                  run={(reason) =>
                    act('Rejected', () => http.POST('/api/v1/plans/{id}/reject', { ...path, body: { reason } }))
                  }
                />
              )}
            </Group>
          </>
        )}
      </Answer>
    </Part>
  );
}

function Deletions({ paths, all }: { paths: string[]; all: boolean }) {
  return (
    <div className="why" role="group" aria-label="Would be deleted">
      <b>
        Deletes {many(paths.length)}
        {all ? ' ' : ' or more '}
        {paths.length === 1 ? 'output' : 'outputs'} before it runs:
      </b>
      <ul>
        {paths.slice(0, 12).map((path) => (
          <li key={path}>
            <code className="wrap">{path}</code>
          </li>
        ))}
        {paths.length > 12 && <li>and {many(paths.length - 12)} more, in the items below</li>}
      </ul>
    </div>
  );
}

function Apply({ plan, deletes, all }: { plan: Schemas['Plan']; deletes: number; all: boolean }) {
  const { act } = useAction();
  const [confirmed, setConfirmed] = useState(false);
  const asks = deletes > 0 || !all;
  return (
    <Ask
      label="Apply"
      variant="filled"
      title={`Start ${shown(plan.name)}`}
      ready={confirmed || !asks}
      run={(reason) =>
        act('Apply requested', () =>
          http.POST('/api/v1/plans/{id}/apply', {
            params: { path: { id: plan.id } },
            body: { preview_hash: plan.preview_hash ?? '', confirm_deletions: confirmed, reason },
          }),
        )
      }
    >
      {asks && (
        <Checkbox
          label={all ? `Yes, delete ${counted(deletes, 'output')}` : `Yes, delete ${many(deletes)} or more outputs`}
          checked={confirmed}
          onChange={(event) => setConfirmed(event.currentTarget.checked)}
        />
      )}
    </Ask>
  );
}
