import { Button, Group, Menu } from '@mantine/core';
import { IconChevronDown } from '@tabler/icons-react';
import { http, type Schemas } from '../api/client';
import { useMay } from '../session/me';
import { Time } from '../ui/Time';
import { useAction } from '../ui/useAction';
import { untils } from './snooze';

/** Acknowledge it, snooze it, resolve it. */
export function IncidentControls({ incident }: { incident: Schemas['Incident'] }) {
  const may = useMay();
  const { act, busy } = useAction();
  if (!may('incident.operate') || incident.state === 'recovered') return <span className="dim">–</span>;
  const path = { params: { path: { id: incident.id } } };
  return (
    <Group gap={6} className="incident-controls">
      {incident.state === 'open' && (
        <Button
          size="compact-sm"
          variant="light"
          loading={busy}
          aria-label={`Acknowledge ${incident.title}`}
          onClick={() =>
            void act('Acknowledged', () => http.POST('/api/v1/incidents/{id}/acknowledge', { ...path, body: {} }))
          }
        >
          Acknowledge
        </Button>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <Button
            size="compact-sm"
            variant="default"
            rightSection={<IconChevronDown size={12} />}
            aria-label={`Snooze ${incident.title}`}
          >
            Snooze
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {untils(new Date()).map(({ label, at }) => (
            <Menu.Item
              key={label}
              rightSection={<Time at={at} exact />}
              onClick={() =>
                void act(`Snoozed ${label}`, () =>
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
        disabled={busy}
        aria-label={`Resolve ${incident.title}`}
        onClick={() => void act('Resolved', () => http.POST('/api/v1/incidents/{id}/resolve', { ...path, body: {} }))}
      >
        Resolve
      </Button>
    </Group>
  );
}
