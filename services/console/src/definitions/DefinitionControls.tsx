import { Ask } from '../ui/Ask';
import { useAction } from '../ui/useAction';
import { useMay } from '../session/me';
import { EditDefinition } from './Editor';
import { remove, type DefinitionKind } from './kinds';

/** Edit and delete, for those who may. What is in use is not deleted: the server names its users. */
export function DefinitionControls({ kind, id, gone }: { kind: DefinitionKind; id: string; gone: () => void }) {
  const may = useMay();
  const { act } = useAction();
  if (!may(`${kind}.write`)) return null;
  return (
    <>
      <EditDefinition kind={kind} id={id} />
      <Ask
        label="Delete"
        takesReason={false}
        color="red"
        title={`Delete ${kind} ${id}`}
        words="Runs of the past keep what they ran. What is still in use is not deleted: the answer names its users."
        run={async () => {
          const ok = await act('Deleted', () => remove(kind, id));
          if (ok) gone();
          return ok;
        }}
      />
    </>
  );
}
