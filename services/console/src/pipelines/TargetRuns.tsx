import { RunsTable } from '../runs/RunsTable';
import { Answer, Empty } from '../ui/Answer';
import { More } from '../ui/ListPart';
import { useList } from '../ui/useList';

/** The newest runs of a job or a pipeline, `kind:id`. */
export function TargetRuns({ target }: { target: string }) {
  const query = useList('/api/v1/plans', { target: [target], limit: 50 });
  return (
    <Answer query={query}>
      {({ items }) =>
        items.length ? (
          <>
            <RunsTable rows={items} label="Runs" />
            <More query={query} />
          </>
        ) : (
          <Empty title="It never ran">Start it with Run above.</Empty>
        )
      }
    </Answer>
  );
}
