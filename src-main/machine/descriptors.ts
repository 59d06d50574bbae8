/**
 * Which descriptors a machine's process inherits, from 3 on: for each console an input and an
 * output, then the agent's two, then for each network slot the near end (the machine's) and the
 * far end (ours, which the process keeps alive for us: a new server takes it back out of the
 * process, see `node/child.ts`). The same for every engine, so that a machine of any is found again
 * in the same way.
 */
/** Network cards that can be plugged while a machine runs. */
export const nicSlots = 4;

export type DescriptorLayout = {
  readonly consoles: readonly { input: number; output: number }[];
  readonly agent: { input: number; output: number };
  readonly nics: readonly { near: number; far: number }[];
  readonly count: number;
};

export function layoutDescriptors(consoleCount: number): DescriptorLayout {
  let next = 3;
  const pair = () => ({ input: next++, output: next++ });
  const consoles = Array.from({ length: consoleCount }, pair);
  const agent = pair();
  const nics = Array.from({ length: nicSlots }, () => ({ near: next++, far: next++ }));
  return { consoles, agent, nics, count: next };
}
