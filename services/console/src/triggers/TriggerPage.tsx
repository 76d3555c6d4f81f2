import { useParams, Link } from '@tanstack/react-router';
import { $api } from '../api/client';
import { DefinitionPage } from '../definitions/DefinitionPage';
import { Facts } from '../ui/Json';
import { Part } from '../ui/Page';
import { Time } from '../ui/Time';
import { DryRun } from './DryRun';
import { matches } from './matches';

/** One trigger: what it matches and starts, tried on the newest events, and who changed it when. */
export function TriggerPage() {
  const { id = '' } = useParams({ strict: false });
  const query = $api.useQuery('get', '/api/v1/triggers/{id}', { params: { path: { id } } });
  return (
    <DefinitionPage
      kind="trigger"
      id={id}
      query={query}
      tabs={[{ id: 'try', label: 'Try on past events', show: () => <DryRun id={id} /> }]}
    >
      {(one) => (
        <Part title="Rule">
          <Facts
            rows={[
              ['Matches', matches(one)],
              ['Starts', `${one.target.kind} ${one.target.id}`],
              ['Waits for quiet', one.debounce_seconds ? `${one.debounce_seconds} s` : 'no'],
              ['If the one before still runs', one.overlap.replace('_', ' ')],
              ['Matched', one.state?.matched ?? 0],
              ['Did not match', one.state?.not_matched ?? 0],
              ['Last matched', <Time key="l" at={one.state?.last_matched_at} />],
              [
                'Events',
                <Link key="e" className="link" to="/events" search={{ trigger: id }}>
                  what came in
                </Link>,
              ],
            ]}
          />
        </Part>
      )}
    </DefinitionPage>
  );
}
