import type { Schemas } from '../api/client';

export type Step = Schemas['StepSummary'];

/** One arrow of the graph: what the step at its end waits for, or which step it undoes. */
export interface Arrow {
  source: string;
  target: string;
  outcome: 'on_success' | 'on_failure' | 'always' | 'compensates';
}

/** `load` waits for the success of a step, `load:on_failure` and `load:always` for another outcome. */
function dependency(text: string): Pick<Arrow, 'source' | 'outcome'> {
  const [source = '', outcome = 'on_success'] = text.split(':');
  return { source, outcome: outcome as Arrow['outcome'] };
}

/** The arrows between these steps. */
export function arrows(steps: Step[]): Arrow[] {
  const known = new Set(steps.map((step) => step.id));
  const all = steps.flatMap((step): Arrow[] => [
    ...(step.depends_on ?? []).map((text) => ({ ...dependency(text), target: step.id })),
    ...(step.compensates ? [{ source: step.compensates, target: step.id, outcome: 'compensates' as const }] : []),
  ]);
  return all.filter((arrow) => known.has(arrow.source));
}

/** A step of a definition as a run would show it before it starts. */
export function summary(step: Schemas['Step']): Step {
  return {
    id: step.id,
    counts: {},
    compensates: step.compensates,
    depends_on: (step.depends_on ?? []).map(({ step: id, when = 'on_success' }) =>
      when === 'on_success' ? id : `${id}:${when}`,
    ),
    reason: `${step.work.kind} on ${step.engine ?? 'the engine of its kind'}${step.condition ? `, if ${step.condition}` : ''}`,
  };
}

/** The steps of a run with the arrows of its pipeline: a run of more than 100 steps has none of its own. */
export function withArrows(steps: Step[], pipeline: Schemas['Step'][]): Step[] {
  const defined = new Map(pipeline.map((step) => [step.id, summary(step)]));
  return steps.map((step) => ({ ...step, depends_on: defined.get(step.id)?.depends_on ?? step.depends_on }));
}
