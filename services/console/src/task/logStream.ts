import { useEffect, useState } from 'react';
import { sessionEnded } from '../session/session';
import { append, EMPTY_LOG, unmark, type Log } from './logLines';

const SHOW_MS = 150;
const AGAIN_MS = 2_000;

export type LogState = Log & { problem: string; following: boolean };

/** An attempt's log, followed to its end. A connection that breaks goes on where it stopped. */
export function useLog(task: string, attempt: number): LogState {
  const [state, setState] = useState<LogState>({ ...EMPTY_LOG, problem: '', following: true });
  useEffect(() => {
    const abort = new AbortController();
    let log: Log = EMPTY_LOG;
    let marked: Log = EMPTY_LOG; // up to the last offset: from there it is read again when the connection breaks
    let problem = '';
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        if (!abort.signal.aborted) setState({ ...log, problem, following: !log.ended && !problem });
      }, SHOW_MS);
    };
    const read = async () => {
      log = marked;
      const query = new URLSearchParams({
        attempt: String(attempt),
        follow: 'true',
        marks: 'true',
        since: String(log.offset),
      });
      const response = await fetch(`/api/v1/tasks/${encodeURIComponent(task)}/logs?${query}`, { signal: abort.signal });
      if (response.status === 401) sessionEnded();
      if (!response.ok || !response.body) {
        const body = (await response.json().catch(() => ({}))) as { detail?: string };
        problem = body.detail ?? `the server answered ${response.status}`;
        if (response.status < 500 && ![401, 429].includes(response.status)) log = { ...log, ended: true };
        return;
      }
      problem = '';
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const part = unmark(rest + value);
        rest = part.rest;
        if (part.offset !== undefined) {
          log = part.marked ? append(log, part.marked) : log;
          log = marked = { ...log, offset: part.offset };
        }
        if (part.text) log = append(log, part.text);
        if (part.ended) log = { ...log, ended: true };
        show();
      }
    };
    const follow = async () => {
      while (!abort.signal.aborted && !log.ended) {
        try {
          await read();
        } catch (error) {
          if (abort.signal.aborted) return;
          problem = `the log breaks off (${String(error).slice(0, 80)}); it goes on by itself`;
        }
        show();
        if (!log.ended) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    };
    setState({ ...EMPTY_LOG, problem: '', following: true });
    void follow();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [task, attempt]);
  return state;
}
