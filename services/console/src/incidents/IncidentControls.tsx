import { Button, Group, Menu } from '@mantine/core';
import { IconChevronDown } from '@tabler/icons-react';
import { http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { useAction } from '../ui/useAction';
import { untils } from './snooze';

/** Take it, silence it, close it. */
export function IncidentControls({ incident }: { incident: Schemas['Incident'] }) {
  const may = useMay();
  const { act, busy } = useAction();
  if (!may('incident.operate') || incident.state === 'recovered') return <span className="dim">–</span>;
  const path = { params: { path: { id: incident.id } } };
  return (
    <Group gap={6} wrap="nowrap">
      {incident.state === 'open' && (
        <Button
          size="compact-sm"
          variant="light"
          loading={busy}
          aria-label={`Take ${incident.title}`}
          onClick={() =>
            void act('It is yours', () => http.POST('/api/v1/incidents/{id}/acknowledge', { ...path, body: {} }))
          }
        >
          Take
        </Button>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <Button
            size="compact-sm"
            variant="default"
            rightSection={<IconChevronDown size={12} />}
            aria-label={`Silence ${incident.title}`}
          >
            Silence
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {untils(new Date()).map(({ label, at }) => (
            <Menu.Item
              key={label}
              onClick={() =>
                void act(`Silent ${label}`, () =>
                  http.POST('/api/v1/incidents/{id}/snooze', { ...path, body: { until_at: at, reason: label } }),
                )
              }
            >
              {label}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <Button
        size="compact-sm"
        variant="default"
        aria-label={`Close ${incident.title}`}
        onClick={() => void act('Closed', () => http.POST('/api/v1/incidents/{id}/resolve', { ...path, body: {} }))}
      >
        Close
      </Button>
    </Group>
  );
}
