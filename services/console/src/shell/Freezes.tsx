import { Link } from '@tanstack/react-router';
import { IconSnowflake } from '@tabler/icons-react';
import { $api } from '../api/client';
import { every } from '../live/connection';
import { useMay } from '../session/me';
import { Time } from '../ui/Time';

/** On every page while a freeze holds: who, why, until when, and what waits for it. */
export function Freezes() {
  const may = useMay();
  const status = $api.useQuery(
    'get',
    '/api/v1/status',
    {},
    { refetchInterval: every(15_000), enabled: may('status.read') },
  );
  const active = (status.data?.freezes ?? []).filter((one) => one.active);
  return active.map((one) => (
    <div className="banner" role="status" key={one.id}>
      <IconSnowflake size={18} aria-hidden />
      <b>{one.mode === 'drain' ? 'Frozen, draining' : 'Frozen'}</b>
      <span className="wrap">
        {one.reason} ({one.author}
        {one.until_at ? ', until ' : ''}
        {one.until_at && <Time at={one.until_at} exact />}): {one.running} running, {one.waiting} waiting
      </span>
      <Link className="link" to="/freezes">
        Freezes
      </Link>
    </div>
  ));
}
