import { Group, Text } from '@mantine/core';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, useCallback, useEffect, useRef, useState, type MouseEvent } from 'react';
import type { Schemas } from '../api/client';
import { Answer, Empty } from '../ui/Answer';
import { ItemFilter } from './ItemFilter';
import { ItemRow } from './ItemRow';
import { rowsAround, slotsOf, type Range } from './slots';
import { PAGE, useItemPages } from './useItemPages';

type Item = Schemas['Item'];
const route = getRouteApi('/runs/$id');
const ROW = 34;
const OVERSCAN = 8;
const AHEAD = 40;

/** The plan's items, as many as are looked at: pages come while one scrolls, rows exist only where they are seen. */
export function Items({ plan }: { plan: Schemas['Plan'] }) {
  const search = route.useSearch();
  const filter = {
    ...(search.state ? { state: search.state } : {}),
    ...(search.decision ? { decision: search.decision } : {}),
  };
  const [range, setRange] = useState({ first: 0, last: 0 });
  const { row, loaded, more, first } = useItemPages(plan.id, filter, range.first, range.last, !plan.ended_at);
  const total = search.state || search.decision ? undefined : plan.counts.total;
  return (
    <>
      <Group gap="xs" mb="xs" align="flex-end">
        <ItemFilter />
        <Loaded loaded={loaded} total={total} />
      </Group>
      {first && (
        <Answer query={first} key={JSON.stringify(filter)}>
          {() =>
            loaded ? (
              <Rows row={row} count={loaded} more={more} look={setRange} />
            ) : (
              <Empty title="No items">
                They appear as soon as the planner has decided them, or when the filter lets some in.
              </Empty>
            )
          }
        </Answer>
      )}
    </>
  );
}

const Loaded = memo(function Loaded({ loaded, total }: { loaded: number; total: number | undefined }) {
  return (
    <Text size="sm" c="dimmed" role="status">
      {loaded.toLocaleString('en')} loaded{total !== undefined && ` of ${total.toLocaleString('en')}`}
    </Text>
  );
});

type RowsProps = {
  row: (index: number) => Item | undefined;
  count: number;
  more: boolean;
  look: (range: { first: number; last: number }) => void;
};

function Rows({ row, count, more, look }: RowsProps) {
  const navigate = useNavigate();
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: OVERSCAN,
    rangeExtractor: useCallback(
      (range: Range) => rowsAround(range, slotsOf(box.current?.clientHeight ?? 0, ROW, OVERSCAN)),
      [],
    ),
  });
  const seen = virtual.getVirtualItems();
  // whole pages, so that scrolling within one asks for nothing
  const first = Math.floor((seen[0]?.index ?? 0) / PAGE) * PAGE;
  const end = (seen.at(-1)?.index ?? 0) + AHEAD;
  const last = Math.floor((more ? end : Math.min(end, count - 1)) / PAGE) * PAGE;
  useEffect(() => look({ first, last }), [first, last, look]);
  const follow = (event: MouseEvent<HTMLDivElement>) => {
    const task = (event.target as Element).closest<HTMLElement>('[data-task]')?.dataset.task;
    if (!task || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    void navigate({ to: '/tasks/$id', params: { id: task } });
  };
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex, jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions -- it scrolls, and it follows the links in it
    <div ref={box} className="items" role="region" aria-label="Items" tabIndex={0} onClick={follow}>
      <div className="item-row item-head">
        <span>No.</span>
        <span>Item</span>
        <span>Decision</span>
        <span>State</span>
        <span>Engine</span>
        <span>Why</span>
      </div>
      <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
        {seen.map(({ index, start }) => {
          const item = row(index);
          return item && <ItemRow key={index % seen.length} item={item} index={index} start={start} />;
        })}
      </div>
    </div>
  );
}
