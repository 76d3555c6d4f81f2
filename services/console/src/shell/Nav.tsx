import { Link } from '@tanstack/react-router';
import { useMay } from '../session/me';
import { PLACES } from './places';

export function Nav({ close }: { close: () => void }) {
  const may = useMay();
  const shown = PLACES.filter((place) => may(place.needs));
  const groups = [...new Set(shown.map((place) => place.group))];
  return (
    <div className="nav">
      {groups.map((group) => (
        <div key={group}>
          <h2>{group}</h2>
          {shown
            .filter((place) => place.group === group)
            .map(({ to, name, icon: Icon, key }) => (
              <Link key={to} to={to} onClick={close} activeOptions={{ exact: to === '/', includeSearch: false }}>
                <Icon size={17} stroke={1.7} aria-hidden />
                {name}
                {key && <kbd className="hide-phone" aria-hidden>{`g ${key}`}</kbd>}
              </Link>
            ))}
        </div>
      ))}
    </div>
  );
}
