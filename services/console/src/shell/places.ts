import {
  IconActivity,
  IconAlertTriangle,
  IconArrowBackUp,
  IconBell,
  IconBox,
  IconCalendarTime,
  IconFileText,
  IconHistory,
  IconLayoutDashboard,
  IconListDetails,
  IconLock,
  IconMailOff,
  IconReload,
  IconSitemap,
  IconSnowflake,
  IconUsers,
  type Icon,
} from '@tabler/icons-react';

export type Place = { to: string; name: string; key?: string; icon: Icon; needs: string; group: string };

const p = (group: string, to: string, name: string, icon: Icon, needs: string, key?: string): Place => ({
  group, to, name, icon, needs, key,
}); // prettier-ignore

/** Every page in the navigation: its address, the letter after `g`, and the permission without which it is not shown. */
export const PLACES: Place[] = [
  p('Work', '/', 'Overview', IconLayoutDashboard, 'me.read', 'o'),
  p('Work', '/runs', 'Runs', IconListDetails, 'plan.read', 'r'),
  p('Work', '/pipelines', 'Pipelines', IconSitemap, 'pipeline.read', 'p'),
  p('Work', '/jobs', 'Jobs', IconBox, 'job.read', 'j'),
  p('Work', '/rerun', 'Rerun Oozie', IconArrowBackUp, 'plan.start', 'b'),
  p('Work', '/reprocessing', 'Reprocessing', IconReload, 'reprocessing.read', 'f'),
  p('Starts', '/schedules', 'Schedules', IconCalendarTime, 'schedule.read', 's'),
  p('Starts', '/triggers', 'Triggers', IconBell, 'trigger.read', 't'),
  p('Starts', '/events', 'Events', IconFileText, 'event.read', 'v'),
  p('On call', '/incidents', 'Incidents', IconAlertTriangle, 'incident.read', 'i'),
  p('On call', '/engines', 'Engines', IconActivity, 'engine.read', 'e'),
  p('On call', '/dead-letters', 'Dead letters', IconMailOff, 'dead_letter.read', 'd'),
  p('On call', '/freezes', 'Freezes', IconSnowflake, 'freeze.read', 'z'),
  p('On call', '/status', 'System status', IconHistory, 'status.read', 'y'),
  p('Administration', '/audit', 'Audit', IconFileText, 'audit.read', 'a'),
  p('Administration', '/users', 'Users and keys', IconUsers, 'key.read', 'u'),
  p('Administration', '/secrets', 'Secrets', IconLock, 'secret.read', 'k'),
];
