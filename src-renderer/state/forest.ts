/** The machines as a forest, nested under the machine each runs inside of. */
type Named = { id: string; name: string; parent?: string | undefined };

export type Nested<T extends Named> = { machine: T; depth: number; children: Nested<T>[] };

/** A parent that is not there, or a ring of parents, leaves a machine at the top. */
export function forest<T extends Named>(machines: readonly T[]): Nested<T>[] {
  const nodes = new Map<string, Nested<T>>();
  for (const machine of machines) nodes.set(machine.id, { machine, depth: 0, children: [] });
  const idOf = new Map(machines.flatMap(({ id, name }) => [[name, id], [id, id]] as const));
  const above = (id: string): string | undefined => {
    const parent = nodes.get(id)?.machine.parent;
    return parent === undefined ? undefined : idOf.get(parent);
  };
  const roots: Nested<T>[] = [];
  for (const [id, node] of nodes) {
    const parent = inRing(id, above, machines.length) ? undefined : nodes.get(above(id) ?? '');
    (parent ? parent.children : roots).push(node);
  }
  const settle = (node: Nested<T>, depth: number): void => {
    node.depth = depth;
    for (const child of node.children) settle(child, depth + 1);
  };
  for (const root of roots) settle(root, 0);
  return roots;
}

function inRing(id: string, above: (id: string) => string | undefined, most: number): boolean {
  let at = above(id);
  for (let step = 0; at !== undefined && step <= most; step += 1) {
    if (at === id) return true;
    at = above(at);
  }
  return false;
}
