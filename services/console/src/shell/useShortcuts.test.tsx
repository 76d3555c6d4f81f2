import { expect, test } from 'vitest';
import { step } from './useShortcuts';

test('j and k go from row to row, also where a row has no link or its button is disabled', () => {
  document.body.innerHTML = `<main><table><tbody>
    <tr id="linked"><td><a href="#x">x</a></td></tr><tr id="plain"><td>audit</td></tr>
    <tr id="disabled"><td><button disabled>Apply</button></td></tr>
    <tr id="button"><td><button>Resolve</button></td></tr></tbody></table></main>`;
  const reached = () => document.activeElement?.closest('tr')?.id;
  const way = ([1, 1, 1, 1, 1, -1, -1] as const).map((by) => {
    step(by);
    return reached();
  });
  expect(way).toEqual(['linked', 'plain', 'disabled', 'button', 'button', 'disabled', 'plain']);
});
