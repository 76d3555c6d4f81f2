/**
 * The one table of state words: what each is called, drawn and coloured as, wherever it appears.
 * `tokens.test.ts` compares it with the values that openapi.json knows.
 */
export type Tone = 'wait' | 'active' | 'good' | 'bad' | 'warn' | 'off' | 'new';
export type Token = { word: string; tone: Tone; icon: IconName; ends?: boolean };
export type IconName =
  | 'clock'
  | 'play'
  | 'upload'
  | 'check'
  | 'cross'
  | 'ban'
  | 'question'
  | 'pause'
  | 'alert'
  | 'eye'
  | 'user'
  | 'skip'
  | 'dot'
  | 'snow'
  | 'zap'
  | 'hand'
  | 'redo';

const t = (word: string, tone: Tone, icon: IconName, ends = false): Token => ({ word, tone, icon, ends });

export const TOKENS = {
  PlanState: {
    ACCEPTED: t('accepted', 'wait', 'clock'),
    RESOLVING: t('resolving', 'active', 'eye'),
    PREVIEWED: t('previewed', 'new', 'eye'),
    AWAITING_APPROVAL: t('awaiting approval', 'warn', 'user'),
    RUNNING: t('running', 'active', 'play'),
    PAUSED: t('paused', 'warn', 'pause'),
    CANCELLING: t('cancelling', 'warn', 'ban'),
    SUCCEEDED: t('succeeded', 'good', 'check', true),
    COMPLETED_WITH_ERRORS: t('completed with errors', 'bad', 'alert', true),
    FAILED: t('failed', 'bad', 'cross', true),
    CANCELLED: t('cancelled', 'off', 'ban', true),
    REFUSED: t('refused', 'bad', 'hand', true),
  },
  TaskState: {
    QUEUED: t('queued', 'wait', 'clock'),
    CLAIMED: t('claimed', 'active', 'hand'),
    SUBMITTING: t('submitting', 'active', 'upload'),
    RUNNING: t('running', 'active', 'play'),
    UNKNOWN: t('unknown', 'warn', 'question'),
    SUCCEEDED: t('succeeded', 'good', 'check', true),
    FAILED: t('failed', 'bad', 'cross', true),
    CANCELLED: t('cancelled', 'off', 'ban', true),
  },
  StepState: {
    WAITING: t('waiting', 'wait', 'clock'),
    READY: t('ready', 'wait', 'zap'),
    RUNNING: t('running', 'active', 'play'),
    SUCCEEDED: t('succeeded', 'good', 'check', true),
    FAILED: t('failed', 'bad', 'cross', true),
    CANCELLED: t('cancelled', 'off', 'ban', true),
    SKIPPED: t('skipped', 'off', 'skip', true),
    REUSED: t('reused', 'good', 'redo', true),
  },
  Decision: {
    run: t('run', 'active', 'play'),
    skip: t('skip', 'off', 'skip'),
    blocked: t('blocked', 'warn', 'hand'),
  },
  Phase: {
    submitted: t('submitted', 'wait', 'upload'),
    running: t('running', 'active', 'play'),
    suspended: t('suspended', 'warn', 'pause'),
    succeeded: t('succeeded', 'good', 'check', true),
    failed: t('failed', 'bad', 'cross', true),
    killed: t('killed', 'off', 'ban', true),
    lost: t('lost', 'warn', 'question'),
  },
  IncidentState: {
    open: t('open', 'bad', 'alert'),
    acknowledged: t('acknowledged', 'warn', 'user'),
    snoozed: t('snoozed', 'off', 'pause'),
    recovered: t('recovered', 'good', 'check', true),
  },
  Intake: {
    open: t('open', 'good', 'check'),
    paused: t('paused', 'warn', 'pause'),
    draining: t('draining', 'warn', 'skip'),
    drained: t('drained', 'off', 'ban'),
    frozen: t('frozen', 'new', 'snow'),
  },
  BreakerState: {
    closed: t('closed', 'good', 'check'),
    open: t('open', 'bad', 'zap'),
    half_open: t('half open', 'warn', 'zap'),
  },
  DeliveryState: {
    pending: t('pending', 'wait', 'clock'),
    sending: t('sending', 'active', 'upload'),
    sent: t('sent', 'good', 'check', true),
    retrying: t('retrying', 'warn', 'redo'),
    dead: t('dead', 'bad', 'cross', true),
    dropped: t('dropped', 'off', 'ban', true),
  },
  ReprocessingStatus: {
    pending: t('pending', 'wait', 'clock'),
    running: t('running', 'active', 'play'),
    completed: t('completed', 'good', 'check', true),
    failed: t('failed', 'bad', 'cross', true),
    cancelled: t('cancelled', 'off', 'ban', true),
  },
  DeadLetterState: {
    PARKED: t('parked', 'bad', 'alert'),
    REQUESTED: t('requested', 'wait', 'clock'),
    REDRIVING: t('redriving', 'active', 'redo'),
    REDRIVEN: t('redriven', 'good', 'check', true),
    DROPPED: t('dropped', 'off', 'ban', true),
  },
} as const satisfies Record<string, Record<string, Token>>;

export type Kind = keyof typeof TOKENS;

/** The token of a state. A word that a newer server invents is shown as it is, in a neutral tone. */
export function token(kind: Kind, state: string): Token {
  const known: Record<string, Token> = TOKENS[kind];
  return Object.hasOwn(known, state) ? known[state]! : t(state.toLowerCase().replaceAll('_', ' '), 'off', 'dot');
}

/** Plan states in the order in which people look for them. */
export const PLAN_STATES = Object.keys(TOKENS.PlanState) as (keyof typeof TOKENS.PlanState)[];
export const TASK_STATES = Object.keys(TOKENS.TaskState) as (keyof typeof TOKENS.TaskState)[];
/** Plans that somebody must look at. */
export const NEEDS_SOMEBODY = ['PREVIEWED', 'AWAITING_APPROVAL', 'PAUSED'] as const;
export const LIVE_PLANS = ['ACCEPTED', 'RESOLVING', 'RUNNING', 'PAUSED', 'CANCELLING'] as const;
export const FAILED_PLANS = ['FAILED', 'COMPLETED_WITH_ERRORS', 'REFUSED'] as const;
