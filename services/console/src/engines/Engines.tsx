import { DefinitionList } from '../definitions/DefinitionList';
import { useList } from '../ui/useList';
import { ENGINE_COLUMNS } from './EnginesTable';

export function Engines() {
  const query = useList('/api/v1/engines', { limit: 200 });
  return (
    <DefinitionList
      kind="engine"
      title="Engines"
      words="Where work runs: whether each takes work, whether it answers, how many of its slots are taken"
      make="Register engine"
      query={query}
      columns={ENGINE_COLUMNS}
      empty={{
        title: 'No engine is registered',
        words: (
          <>
            Register one: <code>signalbox engine create --file engine.yaml</code>
          </>
        ),
      }}
    />
  );
}
