import { Link } from '@tanstack/react-router';
import { IconSnowflake } from '@tabler/icons-react';
import { $api, type Schemas } from '../api/client';
import { every } from '../live/connection';
import { useMay } from '../session/me';
import { Time } from '../ui/Time';

/** On every page while a freeze holds one's work: who, why, until when, and what waits for it. */
export function Freezes() {
  const may = useMay();
  if (may('status.read')) return <AllFreezes />;
  return may('freeze.read') && <FreezesOfMine />;
}

/** For somebody of some projects or engines: that their work is held, why and until when. */
function FreezesOfMine() {
  const held = $api.useQuery('get', '/api/v1/me/freezes', {}, { refetchInterval: every(15_000) });
  return (held.data?.items ?? []).map((one) => (
    <div className="banner" role="status" key={JSON.stringify(one)}>
      <IconSnowflake size={18} aria-hidden />
      <b>{one.mode === 'drain' ? 'Frozen, draining' : 'Frozen'}</b>
      <span className="wrap">
        {placesOf(one)}: {one.reason}
        {one.until_at ? ', until ' : ''}
        {one.until_at && <Time at={one.until_at} exact />}
      </span>
    </div>
  ));
}

function placesOf(one: Schemas['FreezeNotice']): string {
  const names = [...one.projects.map((name) => `project ${name}`), ...one.engines.map((name) => `engine ${name}`)];
  return names.join(', ') || 'everything';
}

function AllFreezes() {
  const status = $api.useQuery('get', '/api/v1/status', {}, { refetchInterval: every(15_000) });
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
