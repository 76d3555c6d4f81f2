import { Button, Group } from '@mantine/core';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { $api, http } from '../api/client';
import { useMay } from '../session/me';
import { Answer, Empty } from '../ui/Answer';
import { Page } from '../ui/Page';
import { useAction } from '../ui/useAction';
import { bodyOf, FIRST, wrongWith, type Draft } from './rerun';
import { RerunOptions } from './RerunOptions';
import { Selection } from './Selection';

/** Choose what to run again; the preview then shows the decision of every item, before anything starts. */
export function RerunBuilder() {
  const engines = $api.useQuery('get', '/api/v1/engines', { params: { query: { limit: 200 } } });
  const oozie = (engines.data?.items ?? []).filter((one) => one.connection.kind === 'oozie').map((one) => one.id);
  const navigate = useNavigate();
  const { act, busy, errorAt } = useAction();
  const may = useMay();
  const [draft, setDraft] = useState(FIRST);
  const [tried, setTried] = useState(false);
  const set = (part: Partial<Draft>) => setDraft((old) => ({ ...old, ...part }));
  const current = { ...draft, engine: draft.engine || (oozie.length === 1 ? oozie[0]! : '') };
  const wrong = wrongWith(current);
  const error = (field: keyof Draft, path: string) => (tried ? wrong[field] : undefined) ?? errorAt(path);
  const submit = async () => {
    setTried(true);
    if (Object.keys(wrong).length) return;
    let made = '';
    const ok = await act('The preview is being made', async () => {
      const answer = await http.POST('/api/v1/plans', { body: bodyOf(current) });
      made = answer.data?.id ?? '';
      return answer;
    });
    if (ok && made) void navigate({ to: '/runs/$id', params: { id: made } });
  };
  return (
    <Page
      title="Rerun Oozie"
      words="Nothing starts here: you get a preview with the decision of every item, and what would be deleted"
    >
      {!may('plan.start') ? (
        <Empty title="You may not start runs">
          A rerun needs the permission plan.start: an administrator gives it.
        </Empty>
      ) : !engines.data ? (
        <Answer query={engines}>{() => null}</Answer>
      ) : oozie.length === 0 ? (
        <Empty title="No Oozie is registered">
          <Link className="link" to="/engines">
            Register one
          </Link>
          , or type <code>signalbox engine create --file oozie.yaml</code> with <code>connection.kind: oozie</code>.
        </Empty>
      ) : (
        <form
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            void submit();
          }}
        >
          <div className="grid">
            <Selection draft={current} set={set} error={error} engines={oozie} />
            <RerunOptions draft={current} set={set} error={error}>
              <Group justify="flex-end">
                <Button type="submit" loading={busy}>
                  Preview
                </Button>
              </Group>
            </RerunOptions>
          </div>
        </form>
      )}
    </Page>
  );
}
