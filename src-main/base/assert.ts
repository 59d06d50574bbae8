/**
 * Assertions guard what must hold if our own code is right; they are never the answer to bad
 * input (that is a `Refusal`). They stay on in production: a broken invariant stops the one
 * machine or job it belongs to, before it can spoil anything else.
 */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${invariant}`);
}

/** For the `default` of a switch that must be exhaustive: a compile error when it is not. */
export function unreachable(value: never): never {
  throw new Error(`broken invariant: unexpected value ${String(value)}`);
}
