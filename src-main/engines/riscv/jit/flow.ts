/**
 * The control-flow graph of a region made fit for structured code: reverse postorder, dominators,
 * loop heads and join points. An edge that would make the graph irreducible is cut: the region is
 * left there and entered again through the target's own region.
 */
import { successors } from './region.ts';
import type { Block } from './region.ts';

export interface Flow {
  order: Block[]; // reverse postorder; [0] is the entry
  index: Map<number, number>; // start → place in `order`
  parent: number[]; // immediate dominator
  loop: boolean[]; // target of a back edge
  join: boolean[]; // two or more forward edges come in
  cut: Set<number>; // edges that leave the region, by `edgeKey`
}

/** Offsets are inside one page. */
export const edgeKey = (from: number, to: number) => from * 4096 + to;

export function flowOf(blocks: Map<number, Block>, entry: number): Flow {
  const cut = new Set<number>();
  for (;;) {
    const flow = analyse(blocks, entry, cut);
    const before = cut.size;
    for (const block of flow.order) {
      const from = flow.index.get(block.start)!;
      for (const target of edges(block, blocks, cut)) {
        const to = flow.index.get(target)!;
        if (to <= from && !dominates(flow.parent, to, from)) cut.add(edgeKey(block.start, target));
      }
    }
    if (cut.size === before) return flow;
  }
}

/** The places of the blocks that each leads to inside the region. */
export function waysOf(flow: Flow): number[][] {
  return flow.order.map((block) =>
    successors(block).flatMap((target) => {
      const to = flow.index.get(target);
      return to === undefined || flow.cut.has(edgeKey(block.start, target)) ? [] : [to];
    }),
  );
}

function edges(block: Block, blocks: Map<number, Block>, cut: Set<number>): number[] {
  return successors(block).filter((s) => blocks.has(s) && !cut.has(edgeKey(block.start, s)));
}

function analyse(blocks: Map<number, Block>, entry: number, cut: Set<number>): Flow {
  const order: Block[] = [];
  const seen = new Set<number>();
  const visit = (start: number) => {
    seen.add(start);
    const block = blocks.get(start)!;
    for (const next of edges(block, blocks, cut).reverse()) if (!seen.has(next)) visit(next);
    order.push(block);
  };
  visit(entry);
  order.reverse();
  const index = new Map(order.map((block, n) => [block.start, n]));
  const incoming: number[][] = order.map(() => []);
  order.forEach((block, n) => {
    for (const next of new Set(edges(block, blocks, cut))) incoming[index.get(next)!]!.push(n);
  });
  const parent = dominators(incoming);
  const loop = order.map((_, n) => incoming[n]!.some((from) => from >= n));
  const join = order.map((block, n) => {
    let forward = incoming[n]!.filter((from) => from < n).length;
    for (const from of incoming[n]!) {
      const b = order[from]!;
      if (from < n && b.end === 'branch' && b.next === b.other && b.next === block.start) forward++;
    }
    return forward > 1;
  });
  return { order, index, parent, loop, join, cut };
}

function dominators(incoming: number[][]): number[] {
  const parent = new Array<number>(incoming.length).fill(-1);
  parent[0] = 0;
  const meet = (a: number, b: number) => {
    while (a !== b) {
      while (a > b) a = parent[a]!;
      while (b > a) b = parent[b]!;
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let n = 1; n < incoming.length; n++) {
      let best = -1;
      for (const from of incoming[n]!) {
        if (parent[from]! < 0) continue;
        best = best < 0 ? from : meet(from, best);
      }
      if (best !== parent[n]) {
        parent[n] = best;
        changed = true;
      }
    }
  }
  return parent;
}

export function dominates(parent: number[], a: number, b: number): boolean {
  while (b > a) b = parent[b]!;
  return a === b;
}
