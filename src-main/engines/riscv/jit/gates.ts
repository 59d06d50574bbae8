/**
 * What has to be looked at before floating-point code, and where it has been: whether the FPU is on
 * (1), and whether frm is a rounding mode where that decides (2). Once for all that follows, until
 * a CSR instruction or a callee may have changed it.
 */
import { waysOf } from './flow.ts';
import type { Flow } from './flow.ts';
import type { Step } from './region.ts';

export function gateOf({ what, bits }: Step): number {
  if (what.kind !== 'fp' && what.kind !== 'fpmem') return 0;
  return what.rounded && ((bits >>> 12) & 7) === 7 ? 3 : 1;
}

/** By block: what has been looked at on every way to its start. */
export function gatesAtStarts(flow: Flow): number[] {
  const { order } = flow;
  const ways = waysOf(flow);
  const starts = order.map((_, n) => (n === 0 ? 0 : 3));
  for (let changed = true; changed; ) {
    changed = false;
    order.forEach((block, n) => {
      let gates = starts[n]!;
      for (const step of block.steps) gates = step.system === 'inside' ? 0 : gates | gateOf(step);
      if (block.end === 'call') gates = 0;
      for (const to of ways[n]!) {
        if ((starts[to]! & gates) === starts[to]) continue;
        starts[to]! &= gates;
        changed = true;
      }
    });
  }
  return starts;
}
