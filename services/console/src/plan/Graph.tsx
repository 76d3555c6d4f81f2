import dagre from '@dagrejs/dagre';
import { Background, Controls, Handle, Position, ReactFlow, type Edge, type Node, type NodeProps } from '@xyflow/react';
import '@xyflow/react/dist/style.css';
import { useComputedColorScheme } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { useMemo } from 'react';
import { token } from '../state/tokens';
import { DataTable, type Columns } from '../ui/DataTable';
import { StateBadge } from '../ui/StateBadge';
import { arrows, type Arrow, type Step } from './steps';

type StepNode = Node<{ step: Step }, 'step'>;
const WIDTH = 190;
const HEIGHT = 58;

const LABELS = { on_success: undefined, on_failure: 'on failure', always: 'always', compensates: 'compensates' };

function drawn({ source, target, outcome }: Arrow): Edge {
  const style = outcome === 'compensates' ? { strokeDasharray: '6 4' } : {};
  return { id: `${source}>${target}:${outcome}`, source, target, label: LABELS[outcome], style };
}

/** Places of the nodes, from left to right. */
function laidOut(steps: Step[]): { nodes: StepNode[]; edges: Edge[] } {
  const graph = new dagre.graphlib.Graph().setDefaultEdgeLabel(() => ({}));
  graph.setGraph({ rankdir: 'LR', nodesep: 26, ranksep: 60 });
  for (const step of steps) graph.setNode(step.id, { width: WIDTH, height: HEIGHT });
  const edges = arrows(steps).map(drawn);
  for (const edge of edges) graph.setEdge(edge.source, edge.target);
  dagre.layout(graph);
  const nodes = steps.map((step): StepNode => {
    const { x, y } = graph.node(step.id) as { x: number; y: number };
    return { id: step.id, type: 'step', position: { x: x - WIDTH / 2, y: y - HEIGHT / 2 }, data: { step } };
  });
  return { nodes, edges };
}

function StepBox({ data: { step } }: NodeProps<StepNode>) {
  const tone = step.state ? token('StepState', step.state).tone : 'off';
  return (
    <div className={`node tone-${tone}`} title={step.reason || step.id}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <b>{step.id}</b>
      {step.state ? <StateBadge kind="StepState" state={step.state} /> : null}
      {(step.counts.total ?? 0) > 1 && <span className="dim"> {step.counts.total} tasks</span>}
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
}

const after = (step: Step) => (step.compensates ? `compensates ${step.compensates}` : step.depends_on?.join(', '));

const TYPES = { step: StepBox };
const STATE: Columns<Step>[number] = {
  header: 'State',
  accessorKey: 'state',
  cell: ({ row }) => <StateBadge kind="StepState" state={row.original.state} />,
};

/** The steps as a graph, and the same as a list for whoever does not see it. */
export default function Graph({ steps }: { steps: Step[] }) {
  const scheme = useComputedColorScheme('light');
  const { ref, width } = useElementSize(); // it fits itself again when the window becomes narrower
  const { nodes, edges } = useMemo(() => laidOut(steps), [steps]);
  const ran = steps.some((step) => step.state); // a definition has steps, and no states
  return (
    <>
      <div className="graph" ref={ref}>
        <ReactFlow
          key={Math.round(width / 100)}
          nodes={nodes}
          edges={edges}
          nodeTypes={TYPES}
          colorMode={scheme}
          fitView
          fitViewOptions={{ maxZoom: 1.1 }}
          minZoom={0.1}
          nodesDraggable={false}
          nodesConnectable={false}
          nodesFocusable={false}
          edgesFocusable={false}
          preventScrolling={false}
          aria-label="Steps as a graph; the list below says the same"
        >
          <Background />
          <Controls showInteractive={false} />
        </ReactFlow>
      </div>
      <div style={{ marginTop: 10 }}>
        <DataTable
          label="Steps"
          rows={steps}
          idOf={(step) => step.id}
          columns={[
            { header: 'Step', accessorKey: 'id' },
            ...(ran ? [STATE] : []),
            { header: 'After', id: 'after', accessorFn: (step) => after(step) || '–' },
            { header: ran ? 'Why' : 'Work', id: 'reason', accessorFn: (step) => step.reason || '–' },
          ]}
        />
      </div>
    </>
  );
}
