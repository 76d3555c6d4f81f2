/** What a browser has and jsdom has not; the API is played by msw, and a call that no test expects fails it. */
import '@testing-library/jest-dom/vitest';
import { notifications } from '@mantine/notifications';
import { cleanup, configure } from '@testing-library/react';
import { afterAll, afterEach, vi } from 'vitest';
import { server } from './server';

class Observer {
  observe() {}
  unobserve() {}
  disconnect() {}
}
vi.stubGlobal('ResizeObserver', Observer);
vi.stubGlobal('matchMedia', (query: string) => ({
  matches: false, media: query, onchange: null, addEventListener() {}, removeEventListener() {}, addListener() {}, removeListener() {},
})); // prettier-ignore
Object.defineProperty(document, 'fonts', { value: { addEventListener() {}, removeEventListener() {} } });
window.scrollTo = () => undefined;
Element.prototype.scrollIntoView = () => undefined;

/** A page's addresses are relative to it. */
const NodeRequest = globalThis.Request;
globalThis.Request = class extends NodeRequest {
  constructor(input: RequestInfo | URL, init?: RequestInit) {
    super(typeof input === 'string' ? new URL(input, location.href) : input, init);
  }
};

configure({ asyncUtilTimeout: 15_000 }); // on a busy machine what is waited for comes late
server.listen({ onUnhandledRequest: 'error' });
afterEach(() => {
  cleanup();
  notifications.clean();
  server.resetHandlers();
  localStorage.clear();
});
afterAll(() => server.close());
