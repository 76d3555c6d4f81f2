import { useNavigate } from '@tanstack/react-router';
import { $api } from '../api/client';
import { Answer, Empty } from '../ui/Answer';
import { CopyMenu } from '../ui/Copy';
import { NewDefinition } from '../definitions/Editor';
import { Page } from '../ui/Page';
import { EnginesTable } from './EnginesTable';

export function Engines() {
  const navigate = useNavigate();
  const query = $api.useQuery('get', '/api/v1/engines', { params: { query: { limit: 200 } } });
  return (
    <Page
      title="Engines"
      words="Where work runs: whether each takes work, whether it answers, how many of its slots are taken"
      actions={
        <>
          <NewDefinition
            kind="engine"
            label="Register engine"
            done={(id) => void navigate({ to: '/engines/$id', params: { id } })}
          />
          <CopyMenu cli="signalbox engine list" path="/api/v1/engines" json={query.data} />
        </>
      }
    >
      <Answer query={query}>
        {({ items }) =>
          items.length ? (
            <EnginesTable rows={items} />
          ) : (
            <Empty title="No engine is registered">
              Register one: <code>signalbox engine create --file engine.yaml</code>
            </Empty>
          )
        }
      </Answer>
    </Page>
  );
}
