import { Checkbox, Text } from '@mantine/core';
import { useState } from 'react';
import { $api, http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { Ask } from '../ui/Ask';
import { Part } from '../ui/Page';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';

/** A plan that was previewed: what it would do, until when that holds, apply and reject. */
export function Preview({ plan }: { plan: Schemas['Plan'] }) {
  const { act } = useAction();
  const may = useMay();
  const [confirmed, setConfirmed] = useState(false);
  const path = { params: { path: { id: plan.id } } };
  const deleting = $api.useQuery('get', '/api/v1/plans/{id}/items', {
    params: { path: { id: plan.id }, query: { decision: ['run'], limit: 200 } },
  });
  const deletes = (deleting.data?.items ?? []).flatMap((item) => item.deletes);
  const more = deleting.data?.next_cursor ? ' or more' : '';
  return (
    <Part title="Preview: nothing has started">
      <Text size="sm">
        Below is each item with its decision and why. It holds until <Time at={plan.preview_expires_at} exact />. When
        it is applied, everything is looked up again; if the world has changed it is refused, with what differs.
      </Text>
      {deletes.length > 0 && (
        <div className="why">
          <b>
            Deletes {deletes.length}
            {more} outputs before it runs:
          </b>
          <ul>
            {deletes.slice(0, 12).map((path) => (
              <li key={path}>
                <code>{path}</code>
              </li>
            ))}
            {deletes.length > 12 && <li>and {deletes.length - 12} more, in the items below</li>}
          </ul>
        </div>
      )}
      <div style={{ display: 'flex', gap: 8, marginTop: 10 }}>
        {may('plan.apply', plan.actor, plan.project) && (
          <Ask
            label="Apply"
            variant="filled"
            title={`Start ${plan.name}`}
            run={(reason) =>
              act('Apply requested', () =>
                http.POST('/api/v1/plans/{id}/apply', {
                  ...path,
                  body: { preview_hash: plan.preview_hash ?? '', confirm_deletions: confirmed, reason },
                }),
              )
            }
          >
            {deletes.length > 0 && (
              <Checkbox
                label={`Yes, delete these ${deletes.length}${more} outputs`}
                checked={confirmed}
                onChange={(event) => setConfirmed(event.currentTarget.checked)}
              />
            )}
          </Ask>
        )}
        {may('plan.control', plan.actor, plan.project) && (
          <Ask
            label="Reject"
            run={(reason) =>
              act('Rejected', () => http.POST('/api/v1/plans/{id}/reject', { ...path, body: { reason } }))
            }
          />
        )}
      </div>
    </Part>
  );
}
