import { useEffect } from 'react';
import { $api, type Schemas } from '../api/client';
import { signedIn } from './session';

export type Me = Schemas['Me'];

const RANK = ['viewer', 'user', 'operator', 'admin'];

/** Whether somebody may do this somewhere; and for work of others, whether more than their own is in reach. */
export function allowed(me: Me | undefined, permission: string, actor?: string, project?: string): boolean {
  if (!me || !me.permissions.includes(permission)) return false;
  if (actor === undefined || actor === me.actor) return true;
  const reaching = me.bindings.filter((one) => ['*', '', undefined, project].includes(one.project));
  const best = Math.max(-1, ...reaching.map((one) => RANK.indexOf(one.role)));
  // callers without a binding of their own (keys of a service) are let ask: the server decides
  return me.bindings.length === 0 || best >= RANK.indexOf('operator');
}

export function useMe() {
  const me = $api.useQuery('get', '/api/v1/me', {}, { staleTime: 30_000, retry: false });
  const csrf = me.data?.csrf_token;
  useEffect(() => {
    if (csrf) signedIn(csrf); // after a login elsewhere this page has none yet
  }, [csrf]);
  return me;
}

/** `may('plan.control', plan.actor, plan.project)`: what one may not do is not offered. */
export function useMay() {
  const me = useMe().data;
  return (permission: string, actor?: string, project?: string) => allowed(me, permission, actor, project);
}
