import { http } from '../api/client';

export type Action = 'pause' | 'resume' | 'cancel' | 'retry';

const body = (reason: string) => (reason ? { reason } : {});

/** What can be done to many runs, and in which states it makes sense. */
export const ACTIONS = {
  pause: {
    label: 'Pause',
    states: ['RUNNING'],
    call: (id: string, reason: string) =>
      http.POST('/api/v1/plans/{id}/pause', { params: { path: { id } }, body: body(reason) }),
  },
  resume: {
    label: 'Resume',
    states: ['PAUSED'],
    call: (id: string, reason: string) =>
      http.POST('/api/v1/plans/{id}/resume', { params: { path: { id } }, body: body(reason) }),
  },
  cancel: {
    label: 'Cancel',
    states: ['ACCEPTED', 'RESOLVING', 'PREVIEWED', 'AWAITING_APPROVAL', 'RUNNING', 'PAUSED'],
    call: (id: string, reason: string) =>
      http.POST('/api/v1/plans/{id}/cancel', { params: { path: { id } }, body: body(reason) }),
  },
  retry: {
    label: 'Retry failures',
    states: ['FAILED', 'COMPLETED_WITH_ERRORS', 'CANCELLED'],
    call: (id: string, reason: string) =>
      http.POST('/api/v1/plans/{id}/retry', { params: { path: { id } }, body: body(reason) }),
  },
} as const;

export const fits = (action: Action, state: string) => (ACTIONS[action].states as readonly string[]).includes(state);
