import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useRef } from 'react';
import { AnsiLine } from '../task/AnsiLine';
import { levelOf } from '../task/logLines';
import type { Line } from './workerLogs';

const LINE = 20;

/** Lines of workers in a box that scrolls, each with its worker, coloured by its level. */
export function LogLines(props: {
  label: string;
  lines: Line[];
  badges: boolean;
  follows: boolean;
  wanted: string;
  at?: number;
}) {
  const { label, lines, badges, follows, wanted, at } = props;
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE,
    overscan: 20,
  });
  useEffect(() => {
    if (follows && lines.length) virtual.scrollToIndex(lines.length - 1);
  }, [follows, lines.length, virtual]);
  useEffect(() => {
    if (at !== undefined) virtual.scrollToIndex(at, { align: 'center' });
  }, [at, virtual]);
  const hit = wanted.trim().toLowerCase();
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a part that scrolls has to be reached
    <div className="log worker-log" ref={box} role="region" aria-label={label} tabIndex={0} dir="ltr">
      <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
        {virtual.getVirtualItems().map(({ index, start }) => {
          const line = lines[index]!;
          const found = hit && line.text.toLowerCase().includes(hit) ? 'found' : '';
          return (
            <div
              key={index}
              className={`log-line ${line.gap ? 'gap' : (levelOf(line.text) ?? '')} ${found} ${index === at ? 'marked' : ''}`}
              style={{ transform: `translateY(${start}px)` }}
            >
              {badges && <b className="worker-badge">[W{line.worker}]</b>}
              <span>
                <AnsiLine text={line.text} />
              </span>
            </div>
          );
        })}
      </div>
    </div>
  );
}
