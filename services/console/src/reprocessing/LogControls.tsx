import { ActionIcon, Button, Checkbox, Group, SegmentedControl, Text, TextInput } from '@mantine/core';
import { IconArrowDown, IconArrowUp, IconPlayerPause, IconPlayerPlay } from '@tabler/icons-react';

export type Mode = 'worker' | 'time';

/** What one can do with the logs of workers. */
export function LogControls(props: {
  mode: Mode;
  onMode: (mode: Mode) => void;
  text: string;
  onText: (text: string) => void;
  hits: number;
  onJump: (by: number) => void;
  follows: boolean;
  onFollows: (follows: boolean) => void;
  paused: boolean;
  onPaused: (paused: boolean) => void;
  runs: boolean;
}) {
  const { mode, text, hits, follows, paused, runs } = props;
  return (
    <Group gap="xs" mb="xs" align="flex-end">
      <SegmentedControl
        aria-label="Order of the lines"
        value={mode}
        onChange={(value) => props.onMode(value as Mode)}
        data={[
          { value: 'worker', label: 'Per worker' },
          { value: 'time', label: 'Chronological' },
        ]}
      />
      <TextInput
        data-search
        label="Find in the logs"
        value={text}
        w={220}
        onChange={(event) => props.onText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === 'Enter' && props.onJump(event.shiftKey ? -1 : 1)}
      />
      <ActionIcon
        variant="default"
        size="lg"
        aria-label="Find before"
        onClick={() => props.onJump(-1)}
        disabled={!hits}
      >
        <IconArrowUp size={16} />
      </ActionIcon>
      <ActionIcon variant="default" size="lg" aria-label="Find next" onClick={() => props.onJump(1)} disabled={!hits}>
        <IconArrowDown size={16} />
      </ActionIcon>
      <Text size="sm" role="status" pb={7}>
        {text.trim() ? `${hits.toLocaleString('en')} lines` : ''}
      </Text>
      <Checkbox
        label="Follow"
        pb={9}
        checked={follows}
        onChange={(event) => props.onFollows(event.currentTarget.checked)}
      />
      {runs && (
        <Button
          variant="default"
          leftSection={paused ? <IconPlayerPlay size={14} /> : <IconPlayerPause size={14} />}
          onClick={() => props.onPaused(!paused)}
        >
          {paused ? 'Resume' : 'Pause'}
        </Button>
      )}
    </Group>
  );
}
