import { Button } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { IconPlayerPause, IconPlayerPlay } from '@tabler/icons-react';
import { useConnection, type Connection } from '../live/connection';
import { setPaused } from '../live/feed';
import { duration } from '../ui/instants';
import { useNow } from '../ui/Time';

export function words(state: Connection, now: number): { tone: string; text: string } {
  if (state.paused)
    return { tone: 'warn', text: state.held ? `paused, ${state.held.toLocaleString('en')} changes` : 'paused' };
  if (state.server === 'away') return { tone: 'bad', text: `server away ${duration((now - state.answeredAt) / 1000)}` };
  if (state.feed === 'live') return { tone: 'good', text: 'live' };
  if (state.feed === 'connecting') return { tone: 'wait', text: 'connecting' };
  return { tone: 'warn', text: 'not live: asks every 5 s' };
}

/** Whether what is shown is live, and the switch that holds it still. */
export function ConnectionState() {
  const state = useConnection();
  const client = useQueryClient();
  const { tone, text } = words(state, useNow());
  return (
    <>
      <span className={`conn tone-${tone}`} role="status">
        <i aria-hidden />
        {text}
      </span>
      <Button
        variant="subtle"
        size="compact-xs"
        aria-label={state.paused ? 'Go on showing changes' : 'Hold still: show no changes'}
        title={state.paused ? 'Go on' : 'Hold still'}
        onClick={() => setPaused(client, !state.paused)}
      >
        {state.paused ? <IconPlayerPlay size={16} /> : <IconPlayerPause size={16} />}
      </Button>
    </>
  );
}
