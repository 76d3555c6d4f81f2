import { ActionIcon, Button, Checkbox, Group, Select, Text, TextInput } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { IconArrowDown, IconArrowUp, IconDownload } from '@tabler/icons-react';
import { useDeferredValue, useEffect, useMemo, useRef, useState } from 'react';
import { Empty } from '../ui/Answer';
import { counted } from '../ui/names';
import { AnsiLine } from './AnsiLine';
import { filtered, found, linkOf } from './logLines';
import { useLog } from './logStream';

const route = getRouteApi('/tasks/$id');
const LINE = 24;

export function LogView({ task, attempt }: { task: string; attempt: number }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const log = useLog(task, attempt);
  const [follows, setFollows] = useState(!search.line);
  const [wraps, setWraps] = useState(false);
  const [level, setLevel] = useState<string | null>(null);
  const [text, setText] = useState(search.find ?? '');
  const [hit, setHit] = useState(0);
  const wanted = useDeferredValue(text);
  const lines = useMemo(() => (log.partial ? [...log.lines, log.partial] : log.lines), [log.lines, log.partial]);
  const shown = useMemo(() => filtered(lines, level), [lines, level]);
  const hits = useMemo(() => found(lines, wanted, shown), [lines, wanted, shown]);
  const hitSet = useMemo(() => new Set(hits), [hits]);
  const box = useRef<HTMLDivElement>(null);
  const count = shown ? shown.length : lines.length;
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => box.current,
    estimateSize: () => LINE,
    overscan: 20,
  });
  const rowOf = (line: number) => (shown ? shown.indexOf(line) : line);
  const goTo = (line: number) => {
    setFollows(false);
    const row = rowOf(line);
    if (row >= 0) virtual.scrollToIndex(row, { align: 'center' });
  };
  useEffect(() => {
    if (follows && count) virtual.scrollToIndex(count - 1);
  }, [follows, count, virtual]);
  const line = Number(search.line) - 1 - log.dropped;
  const known = line >= 0 && line < lines.length;
  const went = useRef('');
  useEffect(() => {
    if (!known || went.current === search.line) return;
    went.current = search.line ?? '';
    virtual.scrollToIndex(line, { align: 'center' });
  }, [known, line, search.line, virtual]);
  const jump = (by: number) => {
    if (!hits.length) return;
    const next = (hit + by + hits.length) % hits.length;
    setHit(next);
    goTo(hits[next]!);
  };
  return (
    <>
      <Group gap="xs" mb="xs" align="flex-end">
        <TextInput
          data-search
          label="Find in the log"
          value={text}
          w={220}
          onChange={(event) => {
            setText(event.currentTarget.value);
            setHit(-1);
          }}
          onKeyDown={(event) => event.key === 'Enter' && jump(event.shiftKey ? -1 : 1)}
        />
        <ActionIcon
          variant="default"
          size="lg"
          aria-label="Find before"
          onClick={() => jump(-1)}
          disabled={!hits.length}
        >
          <IconArrowUp size={16} />
        </ActionIcon>
        <ActionIcon variant="default" size="lg" aria-label="Find next" onClick={() => jump(1)} disabled={!hits.length}>
          <IconArrowDown size={16} />
        </ActionIcon>
        <Text size="sm" role="status" pb={7}>
          {wanted.trim() ? counted(hits.length, 'line') : ''}
        </Text>
        <Select
          label="Level"
          w={140}
          clearable
          placeholder="all lines"
          value={level}
          onChange={setLevel}
          data={[
            { value: 'error', label: 'errors' },
            { value: 'warning', label: 'warnings and worse' },
            { value: 'info', label: 'info and worse' },
          ]}
        />
        <Checkbox
          label="Follow"
          pb={9}
          checked={follows}
          onChange={(event) => setFollows(event.currentTarget.checked)}
        />
        <Checkbox label="Wrap" pb={9} checked={wraps} onChange={(event) => setWraps(event.currentTarget.checked)} />
        <Button
          component="a"
          variant="default"
          href={`/api/v1/tasks/${task}/logs?attempt=${attempt}`}
          download={`${task}-${attempt}.log`}
          leftSection={<IconDownload size={14} />}
        >
          Download
        </Button>
      </Group>
      <Text size="sm" c="dimmed" mb={4} role="status">
        {counted(lines.length + log.dropped, 'line')}
        {log.dropped > 0 && `, the newest ${lines.length.toLocaleString('en')} here`}
        {log.problem ? ` · ${log.problem}` : log.following ? ' · following' : ' · complete'}
      </Text>
      {count === 0 ? (
        <Empty title={log.following ? 'Nothing written yet' : 'No lines'}>
          {level ? 'No line of this level.' : 'What the attempt writes appears here as it is written.'}
        </Empty>
      ) : (
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a part that scrolls has to be reached
        <div className={`log ${wraps ? 'wraps' : ''}`} ref={box} role="region" aria-label="Log" tabIndex={0} dir="ltr">
          <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
            {virtual.getVirtualItems().map(({ index, start }) => {
              const at = shown ? shown[index]! : index;
              const number = String(at + 1 + log.dropped);
              const classes = [hitSet.has(at) ? 'found' : '', search.line === number ? 'marked' : ''].join(' ');
              return (
                <div
                  key={at}
                  className={`log-line ${classes}`}
                  data-index={index}
                  ref={wraps ? virtual.measureElement : undefined}
                  style={{ transform: `translateY(${start}px)` }}
                >
                  <a
                    href={`?${new URLSearchParams(linkOf(attempt, number))}`}
                    aria-label={`Link to line ${number}`}
                    onClick={(event) => {
                      event.preventDefault();
                      void navigate({
                        search: (old) => ({ ...old, ...linkOf(attempt, number) }),
                        replace: true,
                        resetScroll: false,
                      });
                    }}
                  >
                    {number}
                  </a>
                  <span>
                    <AnsiLine text={lines[at]!} />
                  </span>
                </div>
              );
            })}
          </div>
        </div>
      )}
    </>
  );
}
