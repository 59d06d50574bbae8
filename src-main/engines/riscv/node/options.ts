/**
 * With what options of Node's a process that runs a machine is started; what Node keeps of our
 * sources (`code-cache.ts`) is of one set of them.
 *
 * V8 knows branch hints as an experiment, and an option that it does not know ends the process: so
 * only where it has been tried. Without inlining, code that V8 has not optimised yet need not count
 * its calls; regions call nothing that could be inlined. What is validated lazily is so once.
 */
const v8 = process.versions.v8.startsWith('13.')
  ? ['--experimental-wasm-branch-hinting', '--no-wasm-inlining', '--wasm-lazy-validation']
  : [];

export const nodeOptions: readonly string[] = ['--disable-warning=ExperimentalWarning', ...v8];
