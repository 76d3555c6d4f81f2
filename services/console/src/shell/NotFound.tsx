import { Link } from '@tanstack/react-router';
import { Empty } from '../ui/Answer';
import { Page } from '../ui/Page';

export function NotFound() {
  return (
    <Page title="No such page">
      <Empty title="There is nothing at this address">
        <Link className="link" to="/">
          Go to the overview
        </Link>
      </Empty>
    </Page>
  );
}
