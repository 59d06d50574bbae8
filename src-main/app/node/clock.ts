/** The real clock, given to every room that needs one. */
export const clock = {
  nowMs: () => Date.now(),
  /** Monotonic, in milliseconds, for measuring how long something took. */
  elapsedMs: () => performance.now(),
  delay: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
};
