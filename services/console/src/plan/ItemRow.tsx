import { memo, useLayoutEffect, useRef } from 'react';
import type { Schemas } from '../api/client';
import { StateBadge } from '../ui/StateBadge';

type Props = { item: Schemas['Item']; index: number; start: number };

/**
 * One item in its place. While one scrolls its elements are used again for other items, so this is plain elements: the
 * link is followed by the list (`data-task`). An item has no task before its plan starts.
 */
export const ItemRow = memo(function ItemRow({ item, index, start }: Props) {
  const row = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = row.current;
    return () => {
      // the focus was on the item that goes out, and does not belong to the one that comes in
      if (element?.contains(document.activeElement))
        element.closest<HTMLElement>('.items')?.focus({ preventScroll: true });
    };
  }, [item.key]);
  return (
    <div ref={row} className="item-row" style={{ transform: `translateY(${start}px)` }}>
      <span className="dim">{(index + 1).toLocaleString('en')}</span>
      {item.task_id && item.state ? (
        <a
          className="link"
          href={`/console/tasks/${item.task_id}`}
          data-task={item.task_id}
          title={item.key}
          dir="auto"
        >
          {item.key}
        </a>
      ) : (
        <span title={item.key} dir="auto">
          {item.key}
        </span>
      )}
      <StateBadge kind="Decision" state={item.decision} />
      <StateBadge kind="TaskState" state={item.state} />
      <span>{item.engine ?? '–'}</span>
      <span title={item.reason} dir="auto">
        {item.deletes.length > 0 && <b>deletes {item.deletes.length}. </b>}
        {item.reason || '–'}
      </span>
    </div>
  );
});
