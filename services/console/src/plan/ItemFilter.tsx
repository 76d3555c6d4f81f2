import { MultiSelect } from '@mantine/core';
import { getRouteApi } from '@tanstack/react-router';
import { memo } from 'react';
import { TASK_STATES, token } from '../state/tokens';

const route = getRouteApi('/runs/$id');
const STATES = TASK_STATES.map((state) => ({ value: state, label: token('TaskState', state).word }));
const DECISIONS = ['run', 'skip', 'blocked'];

/** Which items are listed; in the address. On its own, so that scrolling the list does not draw it again. */
export const ItemFilter = memo(function ItemFilter() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const choose = (field: 'state' | 'decision') => (chosen: string[]) =>
    void navigate({
      search: (old) => ({ ...old, [field]: chosen.length ? chosen : undefined }),
      replace: true,
    });
  return (
    <>
      <MultiSelect
        label="State"
        w={260}
        data={STATES}
        value={search.state ?? []}
        onChange={choose('state')}
        clearable
      />
      <MultiSelect
        label="Decision"
        w={200}
        data={DECISIONS}
        value={search.decision ?? []}
        onChange={choose('decision')}
        clearable
      />
    </>
  );
});
