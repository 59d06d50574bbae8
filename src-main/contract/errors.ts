/**
 * How a refusal travels: the closed set of codes and the exit code each has on a command line.
 */
import { z } from 'zod';
import { refusalCodes, type RefusalCode } from '../base/refusal.ts';

export const errorSchema = z.object({
  code: z.enum(refusalCodes),
  message: z.string(),
  at: z.object({ line: z.number(), column: z.number() }).optional(),
});
export type WireError = z.infer<typeof errorSchema>;

/** Exit codes of the command line: 0 ok, 1 failure, and these (documented in README.md). */
export const exitCodes: Record<RefusalCode, number> = {
  usage: 2,
  'not-found': 3,
  'wrong-state': 4,
  timeout: 124,
  cancelled: 130,
  exists: 1,
  'in-use': 1,
  'no-space': 1,
  'bad-input': 1,
  unsupported: 1,
  denied: 1,
  unavailable: 1,
  internal: 1,
};
