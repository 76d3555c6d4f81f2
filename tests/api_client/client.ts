// A client written against the types that openapi-typescript generates. It runs nowhere: it must compile.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

const api = createClient<paths>({ baseUrl: "http://127.0.0.1:8080", headers: { Authorization: "Bearer sbt_…" } });

type Plan = components["schemas"]["Plan"];
type Problem = components["schemas"]["Problem"];

/** Why a plan waits, one sentence a line. */
export function waitReasons(plan: Plan): string[] {
  return plan.waiting.map((reason) => `${reason.tasks ?? 1}: ${reason.sentence}`);
}

/** Saves a job and starts it once, however often the call is repeated. */
export async function saveAndStart(key: string): Promise<Plan> {
  const work = { kind: "process" as const, argv: ["python", "load.py"] };
  const saved = await api.POST("/api/v1/jobs", { body: { id: "load", kind: "job", work } });
  if (saved.error) throw new Error(describe(saved.error));
  const revision: number = saved.data.revision;
  const started = await api.POST("/api/v1/jobs/{id}/start", {
    params: { path: { id: saved.data.id }, header: { "Idempotency-Key": key } },
    body: { reason: `revision ${revision}` },
  });
  if (started.error) throw new Error(describe(started.error));
  return started.data;
}

const tasks = (query: NonNullable<paths["/api/v1/tasks"]["get"]["parameters"]["query"]>) =>
  api.GET("/api/v1/tasks", { params: { query } });

/** The ids of all failed tasks, page by page. */
export async function failedTasks(): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const query = { state: ["FAILED"], limit: 200, ...(cursor === null ? {} : { cursor }) };
    const page: Awaited<ReturnType<typeof tasks>> = await tasks(query);
    if (page.error) throw new Error(describe(page.error));
    ids.push(...page.data.items.map((task) => task.id));
    cursor = page.data.next_cursor;
  } while (cursor !== null);
  return ids;
}

/** Changes a channel unless somebody else did meanwhile. */
export async function disable(id: string): Promise<boolean> {
  const shown = await api.GET("/api/v1/channels/{id}", { params: { path: { id } } });
  if (shown.error) throw new Error(describe(shown.error));
  const body = { ...shown.data, enabled: false };
  const header = { "If-Match": shown.response.headers.get("ETag") ?? "" };
  const changed = await api.PUT("/api/v1/channels/{id}", { params: { path: { id }, header }, body: body });
  return changed.error === undefined;
}

function describe(problem: Problem): string {
  const fields = (problem.errors ?? []).map((error) => `${error.field}: ${error.allowed}`);
  return [problem.title, problem.detail, ...fields, `trace ${problem.trace_id}`].join("\n");
}
